"""Runs: what is shown of them, and what their end is judged by."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Prefetch

from policies.domain.runs.verdict import Facts, Target
from policies.models import PhaseResult, Policy, Run, RunSnapshot, RunTarget
from policies.models.querysets import RunQuerySet
from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from scripts_admin.models import User


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
        before=_outcome(first, Phase.BEFORE),
        after=_outcome(first, Phase.AFTER),
        complete=_outcome(first, Phase.COMPLETE),
        thawed_on_request=run.thaw_by == ThawBy.WORKER,
        cancelled=run.cancel_requested_at is not None,
        is_test=run.is_test,
        targets=tuple(_target_facts(in_time, wanted, made[pk]) for pk, in_time, wanted in targets),
    )


def _outcome(first: Mapping[str, str], phase: Phase) -> Outcome:
    return Outcome.of(first[phase]) if phase in first else Outcome.NOT_RUN


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


def whole() -> RunQuerySet[Run]:
    """Return the runs with everything that is shown of one, in a fixed number of queries."""
    return Run.objects.prefetch_related(
        Prefetch("targets", RunTarget.objects.prefetch_related("snapshots")),
        "phases",
        "events",
    )


def recent(
    user: User | None = None, policy: Policy | None = None, limit: int = 50
) -> Sequence[Run]:
    """Return the newest runs, newest first, as the user may see them (None: all)."""
    rows = Run.objects.all()
    if user is not None:
        rows = rows.visible_to(user)
    if policy is not None:
        rows = rows.filter(policy=policy)
    return list(rows.order_by("-created_at")[:limit])


class PhaseRow(NamedTuple):
    """What a phase did at its first attempt; outputs are whole, times aware."""

    phase: str
    outcome: str = Outcome.NOT_RUN
    exit_code: int | None = None
    argument: str = ""
    script: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stdout: str = ""
    stderr: str = ""


def phases(run: Run) -> tuple[PhaseRow, ...]:
    """Return the run's phases in their order, its rows prefetched as `whole` does."""
    first = {result.phase: result for result in run.phases.all() if result.attempt == 1}
    return tuple(_phase(phase, first.get(phase)) for phase in Phase)


def _phase(phase: str, result: PhaseResult | None) -> PhaseRow:
    if result is None:
        return PhaseRow(phase)
    return PhaseRow(*(getattr(result, name) for name in PhaseRow._fields))
