"""Questions about runs and policies. Reads only; nouns."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db.models import Prefetch

from policies.domain.errors import InputError
from policies.domain.verdict import Facts, Target
from policies.models import (
    Account,
    PhaseResult,
    Policy,
    PolicyTarget,
    Run,
    RunSnapshot,
    RunTarget,
    Schedule,
)
from policies.querysets import OwnedQuerySet, RunQuerySet
from scripts_admin.domain import names, outcomes
from scripts_admin.models import User

WORKER = "worker"


def facts(run: Run) -> Facts:
    """Return what the run's end is judged by, as the rows have it. Outputs, which may be long, are not read."""
    results = PhaseResult.objects.filter(run=run, attempt=1).order_by()
    first = dict(results.values_list("phase", "outcome"))
    snapshots = RunSnapshot.objects.filter(target__run=run).order_by()
    made: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for target, volume, state in snapshots.values_list("target", "volume_id", "state"):
        made[target].append((volume, state))
    targets = run.targets.values_list("pk", "returned_before_thaw", "expected_volume_ids")
    return Facts(
        before=first.get("before", outcomes.NOT_RUN),
        after=first.get("after", outcomes.NOT_RUN),
        complete=first.get("complete", outcomes.NOT_RUN),
        thawed_on_request=run.thaw_by == WORKER,
        cancelled=run.cancel_requested_at is not None,
        is_test=run.is_test,
        targets=tuple(_target_facts(in_time, wanted, made[pk]) for pk, in_time, wanted in targets),
    )


def _target_facts(
    returned_before_thaw: bool,  # noqa: FBT001 - read at its only call
    expected: Sequence[str],
    made: Sequence[tuple[str, str]],
) -> Target:
    completed = {volume for volume, state in made if state == RunSnapshot.State.COMPLETED}
    return Target(
        returned_before_thaw=returned_before_thaw,
        usable=len(completed),
        whole=bool(completed) and completed == set(expected) and len(made) == len(completed),
    )


def policy(label: str, user: User | None = None) -> Policy:
    """Return the policy called "owner/name", as the user may see it (None: all).

    InputError where there is none, or the label is none.
    """
    owner, slash, name = label.partition("/")
    if not slash or not owner or not name:
        message = f"{label!r} names no policy: write OWNER/NAME, such as cpm_user1/policy1."
        raise InputError(message)
    if not names.is_policy_name(name):
        message = (
            f"{name!r} cannot be a policy's name: use letters, digits, '_' and '-', 64 at most, and no dot, as "
            "a script's base name ends at its first dot."
        )
        raise InputError(message)
    rows = Policy.objects.select_related("owner", "folder", "account")
    rows = rows.defer("account__secret_access_key")  # its key may be lost, and thawing needs none
    if user is not None:
        rows = rows.visible_to(user)
    found = rows.filter(owner__username=owner, name=name).first()
    if found is None:
        message = f"There is no policy {label}: list_runs and the admin pages show those there are."
        raise InputError(message)
    return found


def account(label: str) -> Account:
    """Return the account that "owner/name" names; InputError where there is none."""
    owner, _, name = label.partition("/")
    if not owner or not name:
        message = f"{label!r} names no account: write OWNER/NAME, such as cpm_user1/lab."
        raise InputError(message)
    found = Account.objects.select_related("owner").filter(owner__username=owner, name=name).first()
    if found is None:
        message = f"There is no account {label}: the admin pages show those there are."
        raise InputError(message)
    return found


def run(run_id: str) -> Run:
    """Return a run with all that its page shows; InputError where there is none of that id."""
    try:
        key = UUID(run_id)
    except ValueError:
        message = f"{run_id!r} is no run's id: give the UUID that run_policy or list_runs printed."
        raise InputError(message) from None
    found = whole_runs().filter(pk=key).first()
    if found is None:
        message = f"There is no run {run_id}: list_runs shows those there are."
        raise InputError(message)
    return found


def whole_runs() -> RunQuerySet[Run]:
    """Return the runs with everything that is shown of one, in a fixed number of queries."""
    return Run.objects.prefetch_related(
        Prefetch("targets", RunTarget.objects.prefetch_related("snapshots")),
        "phases",
        "events",
    )


def whole_policies() -> OwnedQuerySet[Policy]:
    """Return the policies with what is shown of one, in a fixed number of queries and without secrets."""
    rows = Policy.objects.select_related("owner", "folder", "account", "last_run")
    return rows.defer("account__secret_access_key").prefetch_related(
        Prefetch("targets", PolicyTarget.objects.order_by("pk")),
        Prefetch("schedules", Schedule.objects.order_by("name")),
    )


def listed_policies(user: User) -> OwnedQuerySet[Policy]:
    """Return the policies that the user may see, by owner and name."""
    return whole_policies().visible_to(user).order_by("owner__username", "name")


def listed_schedules(user: User) -> OwnedQuerySet[Schedule]:
    """Return the schedules that the user may see with the policies that follow them, by owner and name."""
    rows = Schedule.objects.visible_to(user).select_related("owner")
    followers = Policy.objects.visible_to(user).select_related("owner").order_by("name")
    return rows.prefetch_related(Prefetch("policies", followers)).order_by(
        "owner__username", "name"
    )


def recent_runs(
    user: User | None = None, policy: Policy | None = None, limit: int = 50
) -> Sequence[Run]:
    """Return the newest runs, newest first, as the user may see them (None: all)."""
    rows = Run.objects.all()
    if user is not None:
        rows = rows.visible_to(user)
    if policy is not None:
        rows = rows.filter(policy=policy)
    return list(rows.order_by("-created_at")[:limit])


def frozen_policies(user: User) -> Sequence[Policy]:
    """Return the policies that may be frozen, as the user may see them."""
    rows = Policy.objects.visible_to(user).filter(may_be_frozen_since__isnull=False)
    return list(rows.select_related("owner").order_by("may_be_frozen_since"))
