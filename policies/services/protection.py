"""Which restore point of each target counts, and until when it protects: kept on the rows of policy and target.

A restore point is a target of a run that has ended, whose snapshots are whole and still exist. Reckoned when a run
ends, when a policy changes, and when snapshots are found to be gone; so no page reads what was.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from n2wbackup.lib import clock, compiled, many
from n2wbackup.lib.portions import portions
from policies.domain import protection
from policies.domain.protection import Points
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.domain.runs.verdict import Consistency, Required
from policies.models import Policy, PolicyTarget, Run, RunSnapshot, RunTarget

_GONE = (RunSnapshot.State.GONE, RunSnapshot.State.DELETING, RunSnapshot.State.DELETED)
_WORTH_SOMETHING = (Consistency.APPLICATION, Consistency.CRASH)
_Resource = tuple[str, str, str]
_OF_A_POINT = ("run", "region", "instance_id", "volume_id", "consistency", "fired_at")
_COLUMNS = (
    *("application_point", "application_at", "crash_point", "crash_at"),
    *("lost_at", "checked_at"),
)
_OF_A_TARGET = ("policy", "region", "instance_id", "volume_id", *_COLUMNS)
# What a policy that is handed to `note` has loaded.
OF_A_POLICY = (
    *("success_requires", "requires", "enabled", "paused_until", "paused_since", "paused_at"),
    *("objective_seconds", "last_success_at", "failed_since"),
)
# What is left is looked for in so many runs at once, and in so many runs at all.
RUNS_AT_ONCE, RUNS_AT_MOST = 100, 5_000
RUNS_FOR_APPLICATION = 500  # whatever is older protects nobody any more


class Ended(NamedTuple):
    """A run that has just ended, and its policy, locked."""

    run: Run
    policy: Policy


def note(ended: Sequence[Ended], now: datetime) -> None:
    """Note the ends of the runs on their policies, which are different ones, and count what they have made."""
    made = _made([run for run, _ in ended])
    targets: dict[int, list[PolicyTarget]] = defaultdict(list)
    of = [policy.pk for _, policy in ended]
    for target in _of_policies(of):
        targets[target.policy_id].append(target)
    counted: dict[int, Sequence[Any]] = {}
    for run, policy in ended:
        if run.success_requires and policy.success_requires == Required.AUTO:
            policy.requires = run.success_requires
        for target in targets[policy.pk]:
            point = made.get((run.pk, _resource(target)))
            if point is not None and _is_newer(point, target):
                _count(target, point, now)
                counted[target.pk] = many.values_of(target, _COLUMNS)
    many.update_each(PolicyTarget, _COLUMNS, counted)
    reckoned = {
        policy.pk: {
            **standing(run, policy, now),
            **_reckoned(policy, targets[policy.pk], now),
        }
        for run, policy in ended
    }
    rows = {key: list(columns.values()) for key, columns in reckoned.items()}
    many.update_each(Policy, [*next(iter(reckoned.values()), {})], rows)


def standing(run: Run, policy: Policy, now: datetime) -> dict[str, Any]:
    """Return what the end of the run says about its policy: when it succeeded, or since when it fails."""
    last_success_at, failed_since = policy.last_success_at, policy.failed_since
    if run.state == State.SUCCEEDED:
        last_success_at, failed_since = now, None
    elif run.state in sequence.FAILING:
        failed_since = failed_since or now
    return {"last_run": run.pk, "last_success_at": last_success_at, "failed_since": failed_since}


def _made(ended: Sequence[Run]) -> Mapping[tuple[UUID, _Resource], RunTarget]:
    """Return the restore points that the runs have made, by run and resource."""
    found = _usable([run.pk for run in ended])
    return {(one.run_id, _resource(one)): one for one in found}


@compiled.Reading
def _usable(runs: list[UUID]) -> QuerySet[RunTarget]:
    usable = RunTarget.objects.filter(run__pk__in=runs, state=RunTarget.State.USABLE)
    found = _existing(usable).filter(consistency__in=_WORTH_SOMETHING).order_by()
    return found.only(*_OF_A_POINT)


@compiled.Reading
def _of_policies(policies: list[int]) -> QuerySet[PolicyTarget]:
    rows = PolicyTarget.objects.filter(policy__pk__in=policies).order_by("pk")
    return rows.only(*_OF_A_TARGET)


def renew(keys: Iterable[int]) -> None:
    """Reckon policies anew, from the restore points that exist; what is on the rows is believed where it fits.

    The caller has opened a transaction.
    """
    now = clock.now()
    for policy in _locked(keys):
        targets = _targets(policy)
        for target in targets:
            _look_again(policy, target, now)
        if policy.success_requires != Required.AUTO:
            policy.requires = policy.success_requires
        _reckon(policy, targets, now)


def forget(points: Iterable[int], now: datetime) -> None:
    """Reckon the policies anew whose restore points are among these: a snapshot of each is gone.

    The caller has opened a transaction and marked the snapshots.
    """
    keys = set(points)
    rows = PolicyTarget.objects.filter(crash_point__in=keys)
    rows = rows | PolicyTarget.objects.filter(application_point__in=keys)
    hit = list(rows.distinct())
    for target in hit:
        if target.crash_point_id in keys:
            target.lost_at = now
        target.checked_at = None
        target.save(update_fields=("lost_at", "checked_at"))
    renew({target.policy_id for target in hit})


def reconsider(keys: Iterable[int | None]) -> None:
    """Look for the restore points of these policies again; the caller has opened a transaction."""
    found = {key for key in keys if key is not None}
    PolicyTarget.objects.filter(policy__in=found).update(checked_at=None, lost_at=None)
    renew(found)


def _locked(keys: Iterable[int | None]) -> QuerySet[Policy]:
    rows = Policy.objects.select_for_update(of=("self",)).filter(pk__in=list(keys))
    return rows.order_by("pk")


def _targets(policy: Policy) -> Sequence[PolicyTarget]:
    return list(policy.targets.order_by("pk"))


def _resource(row: PolicyTarget | RunTarget) -> _Resource:
    return row.region, row.instance_id, row.volume_id


def _is_newer(point: RunTarget, target: PolicyTarget) -> bool:
    """Tell whether the restore point may count: a run can end after one that was fired later."""
    return point.fired_at is not None and (
        target.crash_at is None or point.fired_at >= target.crash_at
    )


def _count(target: PolicyTarget, point: RunTarget, now: datetime) -> None:
    target.crash_point, target.crash_at, target.lost_at = point, point.fired_at, None
    if point.consistency == Consistency.APPLICATION:
        target.application_point, target.application_at = point, point.fired_at
    target.checked_at = now


def _look_again(policy: Policy, target: PolicyTarget, now: datetime) -> None:
    """Let the target name the newest restore points of its resource that exist, unless it is known which they are."""
    if target.checked_at is not None:
        return
    crash = _newest(policy, target, _WORTH_SOMETHING, RUNS_AT_MOST)
    application = crash
    if crash is not None and crash.consistency != Consistency.APPLICATION:
        application = _newest(policy, target, (Consistency.APPLICATION,), RUNS_FOR_APPLICATION)
    target.crash_point, target.crash_at = crash, crash.fired_at if crash else None
    target.application_point = application
    target.application_at = application.fired_at if application else None
    target.checked_at = now
    target.save(update_fields=_COLUMNS)


def _newest(
    policy: Policy, target: PolicyTarget, worth: Sequence[Consistency], at_most: int
) -> RunTarget | None:
    """Return the newest restore point of the target's resource that exists, among so many of the newest runs."""
    runs = Run.objects.filter(policy=policy, restore_point=True, ended_at__isnull=False)
    keys = runs.order_by("-created_at").values_list("pk", flat=True)[:at_most]
    for some in portions(keys, RUNS_AT_ONCE):
        rows = RunTarget.objects.filter(
            run__in=some,
            state=RunTarget.State.USABLE,
            consistency__in=worth,
            fired_at__isnull=False,
            region=target.region,
            instance_id=target.instance_id,
            volume_id=target.volume_id,
        )
        found = _existing(rows).order_by("-fired_at").first()
        if found is not None:
            return found
    return None


def _existing(rows: QuerySet[RunTarget]) -> QuerySet[RunTarget]:
    gone = RunSnapshot.objects.filter(target=OuterRef("pk"), state__in=_GONE)
    return rows.exclude(Exists(gone))


def _reckon(policy: Policy, targets: Iterable[PolicyTarget], now: datetime) -> None:
    """Write until when the policy is protected, and since when it is paused."""
    Policy.objects.filter(pk=policy.pk).update(**_reckoned(policy, targets, now))


def _reckoned(policy: Policy, targets: Iterable[PolicyTarget], now: datetime) -> dict[str, Any]:
    allowed = policy.objective_seconds
    by_hand = policy.paused_until is not None and policy.paused_until > now
    is_paused = by_hand or not policy.enabled or allowed is None
    span = timedelta(seconds=allowed or 0)
    found = protection.worst(
        protection.limits(
            Points(target.application_at, target.crash_at, target.lost_at),
            policy.requires,
            span,
            now,
        )
        for target in targets
    )
    return {
        "requires": policy.requires,
        "protected_until": found.until,
        "unprotected_from": found.unprotected_from,
        "paused_since": (policy.paused_since or policy.paused_at or now) if is_paused else None,
        "reckoned_at": now,
    }
