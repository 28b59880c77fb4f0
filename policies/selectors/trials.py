"""What trials have found, as typed rows: the newest of each instance, for pages, and what is not proven any more."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import OuterRef, Q, QuerySet, Subquery

from n2wbackup.lib import clock
from policies.domain import trials
from policies.domain.trials import Kind, Verdict
from policies.models import Policy, PolicyTarget, Trial, TrialResult
from scripts_admin.domain.remote import By
from scripts_admin.models import User

SHOWN = 20


class Proof(NamedTuple):
    """What is known of one instance: its newest drill, when the last one passed, and its newest login."""

    instance: str
    by_ssh: bool
    verdict: str  # of the newest drill; "" if there was none
    sentence: str
    drilled_at: datetime | None
    proven_at: datetime | None
    is_old: bool
    login: str = ""
    login_sentence: str = ""
    tried_at: datetime | None = None


class Trials(NamedTuple):
    """The trials of a policy: its instances, and what goes on."""

    proofs: tuple[Proof, ...]
    drilling: Trial | None
    logging_in: Trial | None

    @property
    def goes_on(self) -> bool:
        return self.drilling is not None or self.logging_in is not None

    @property
    def can_log_in(self) -> bool:
        return any(each.by_ssh for each in self.proofs)


class Unproven(NamedTuple):
    """An instance whose last drill failed, or is too old."""

    owner: str
    name: str
    instance: str
    sentence: str  # why it failed; "" if it is only old
    at: datetime


def of_policy(policy: Policy) -> Trials:
    """Return what the policy's page shows; no proofs where no script runs on an instance."""
    targets = [target for target in policy.targets.all() if target.remote]
    if not targets:
        return Trials((), None, None)
    going = {each.kind: each for each in Trial.objects.filter(policy=policy, ended_at=None)}
    return Trials(_proofs(policy, targets), going.get(Kind.DRILL), going.get(Kind.LOGIN))


def _proofs(policy: Policy, targets: Iterable[PolicyTarget]) -> tuple[Proof, ...]:
    now = clock.now()
    found = TrialResult.objects.filter(policy=policy, kind=Kind.DRILL)
    passed = found.filter(verdict=Verdict.PASSED)
    logins = TrialResult.objects.filter(policy=policy, kind=Kind.LOGIN)
    return tuple(
        _proof(
            target, found, passed, logins, now
        )  # at most a few dozen instances, one index search each
        for target in targets
    )


def _newest(rows: QuerySet[TrialResult], target: PolicyTarget) -> TrialResult | None:
    same = rows.filter(instance_id=target.instance_id, region=target.region)
    return same.order_by("-pk").first()


def _proof(
    target: PolicyTarget,
    found: QuerySet[TrialResult],
    passed: QuerySet[TrialResult],
    logins: QuerySet[TrialResult],
    now: datetime,
) -> Proof:
    last, proven, login = (_newest(rows, target) for rows in (found, passed, logins))
    return Proof(
        instance=target.instance_id,
        by_ssh=target.remote.by == By.SSH,
        verdict=last.verdict if last else "",
        sentence=last.sentence if last else "",
        drilled_at=last.at if last else None,
        proven_at=proven.at if proven else None,
        is_old=proven is not None and now - proven.at > trials.OLD,
        login=login.verdict if login else "",
        login_sentence=login.sentence if login else "",
        tried_at=login.at if login else None,
    )


def unproven(person: User, limit: int = SHOWN) -> Sequence[Unproven]:
    """Return the instances that this person may see whose last drill failed, or is older than 45 days."""
    newest = TrialResult.objects.filter(
        policy=OuterRef("policy"),
        instance_id=OuterRef("instance_id"),
        region=OuterRef("region"),
        kind=Kind.DRILL,
    ).order_by("-pk")
    visible = Policy.objects.visible_to(person).filter(scripts_enabled=True)
    rows = PolicyTarget.objects.filter(policy__in=visible).exclude(remote_by="")
    rows = rows.annotate(
        last=Subquery(newest.values("verdict")[:1]),
        said=Subquery(newest.values("sentence")[:1]),
        at=Subquery(newest.values("at")[:1]),
    )
    is_old = Q(last=Verdict.PASSED, at__lt=clock.now() - trials.OLD)
    found = rows.filter(Q(last=Verdict.FAILED) | is_old).order_by("policy", "instance_id")
    values = found.values_list(
        "policy__owner__username", "policy__name", "instance_id", "last", "said", "at"
    )
    return [
        Unproven(owner, name, instance, said if last == Verdict.FAILED else "", at)
        for owner, name, instance, last, said, at in values[:limit]
    ]
