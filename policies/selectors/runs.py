"""Runs: what pages show of them, and whether they have thawed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from policies.domain.runs import described
from policies.domain.runs.left_behind import Leftover
from policies.models import PhaseResult, Policy, Run, RunTarget
from policies.models.querysets import RunQuerySet
from policies.selectors import outputs
from scripts_admin.domain import remote
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.models import User

_MAY_FREEZE = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.INTERRUPTED)


def has_thawed(run: Run) -> bool:
    """Tell whether after ran, and succeeded wherever this run or an earlier one may have frozen something."""
    if _left_frozen(run).exists():
        return False
    after = run.phases.filter(phase=Phase.AFTER)
    here = after.filter(outcome=Outcome.SUCCEEDED).exists()
    there = run.targets.exclude(remote={})
    if not there.exists():
        return here
    never_ran = PhaseResult.remote.filter(
        run=run, phase=Phase.BEFORE, outcome=Outcome.NOT_RUN, started_at__isnull=False
    )
    is_missing = not after.exclude(outcome=Outcome.MISSING).exists()
    left = there.filter(thawed_at=None).exclude(pk__in=never_ran.values("target"))
    return (here or is_missing) and not left.exists()


def _left_frozen(run: Run) -> QuerySet[RunTarget]:
    """Return the instances that runs since the policy's mark may have frozen, and nobody has thawed up to this run.

    A test, or a run whose policy has been changed meanwhile, does not reach them.
    """
    marked = Policy.objects.filter(pk=run.policy_id or 0).values("may_be_frozen_since")
    since = RunTarget.objects.filter(
        run__policy=run.policy_id, run__ordered_at__gte=marked, run__created_at__lte=run.created_at
    )
    ran = PhaseResult.remote.filter(
        target=OuterRef("pk"), phase=Phase.BEFORE, outcome__in=_MAY_FREEZE
    )
    thawed = since.filter(instance_id=OuterRef("instance_id"), thawed_at__isnull=False)
    later = thawed.filter(run__created_at__gte=OuterRef("run__created_at"))
    left = since.filter(Exists(ran), thawed_at=None)
    return left.exclude(run=run).exclude(Exists(later))


def whole() -> RunQuerySet[Run]:
    """Return the runs with everything that pages show, in a fixed number of queries."""
    return Run.objects.prefetch_related(
        Prefetch(
            "targets",
            RunTarget.objects.select_related("description").prefetch_related(
                "snapshots", Prefetch("results", PhaseResult.remote.all())
            ),
        ),
        "phases",
        "events",
        "proofs",
    )


NEWEST: Sequence[str] = ("-created_at", "-pk")  # as keyset takes it


def listed(user: User) -> RunQuerySet[Run]:
    """Return the runs that the user may see, in no order."""
    return Run.objects.visible_to(user).order_by()


class RunRow(NamedTuple):
    """A run without its parts. The names of owner and policy are from the time when the run was created."""

    id: UUID
    label: str
    trigger: str
    attempt: int
    requested_by: str
    state: str
    consistency: str
    success_requires: str  # application or crash; empty if the run was not prepared
    reason: str
    scheduled_for: datetime | None
    due_count: int
    due_until: datetime | None
    created_at: datetime
    started_at: datetime | None
    fired_at: datetime | None
    ended_at: datetime | None
    retry_at: datetime | None
    late_seconds: float | None  # from due to the start of before
    freeze_seconds: float | None
    hold_seconds: float | None
    outputs_deleted_at: datetime | None
    events_deleted_at: datetime | None


class PhaseRow(NamedTuple):
    """The result of a phase's first attempt; outputs are complete where they were asked for, times are aware."""

    phase: str
    outcome: str = Outcome.NOT_RUN
    exit_code: int | None = None
    argument: str = ""
    script: str = ""
    script_sha256: str = (
        ""  # of the text that ran; of the one that was prepared where there is a doubt
    )
    script_doubt: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stdout: str = ""
    stderr: str = ""
    problem: str = ""  # why its script cannot run, known before the window
    thaw_by: str = ""  # of after on an instance


class SnapshotRow(NamedTuple):
    """A snapshot, and of its volume what AWS said at the time of the backup; device and size may be unknown."""

    snapshot_id: str
    volume_id: str
    state: str
    progress: int
    device: str = ""
    size_gib: int | None = None


class TargetRow(NamedTuple):
    """The result of a target: an instance, or a volume by itself."""

    instance_id: str
    volume_id: str
    region: str
    state: str
    consistency: str
    reason: str
    fired_at: datetime | None
    snapshots: tuple[SnapshotRow, ...]
    remote: Mapping[str, Any] | None = None  # how its scripts got there; None: it has none
    thaw_by: str = ""  # who began the thaw there
    thaw_began_at: datetime | None = None
    thawed_at: datetime | None = None
    phases: tuple[PhaseRow, ...] = ()  # those on the instance


class EventRow(NamedTuple):
    at: datetime
    state: str
    text: str


class RunDetail(NamedTuple):
    """A run with all that its page shows. Phases and events are in order."""

    run: RunRow
    thaw_by: str
    phases: tuple[PhaseRow, ...]
    targets: tuple[TargetRow, ...]
    events: tuple[EventRow, ...]
    left_behind: tuple[Leftover, ...] | None  # None: nobody looked


def recent(
    user: User | None = None, policy: Policy | None = None, limit: int = 50
) -> Sequence[RunRow]:
    """Return the newest runs that the user may see (None: all), newest first."""
    return [row(run) for run in newest(Run.objects.all(), user, policy, limit)]


def newest(
    rows: RunQuerySet[Run], user: User | None, policy: Policy | None, limit: int
) -> RunQuerySet[Run]:
    """Return the newest of these runs; user and policy as in `recent`."""
    if user is not None:
        rows = rows.visible_to(user)
    if policy is not None:
        rows = rows.filter(policy=policy)
    return rows.order_by("-created_at")[:limit]


def row(run: Run) -> RunRow:
    """Return the run without its parts; makes no query."""
    return RunRow(*(getattr(run, name) for name in RunRow._fields))


def detail(run: Run, *, with_outputs: bool = False) -> RunDetail:
    """Return the run with its parts; its rows must be prefetched as by `whole`. Outputs cost one more query."""
    there = [result for target in run.targets.all() for result in target.results.all()]
    said = outputs.texts([*run.phases.all(), *there]) if with_outputs else {}
    return RunDetail(
        run=row(run),
        thaw_by=run.thaw_by,
        phases=_phases(Phase, run.phases.all(), run.script_problems, said),
        targets=tuple(_target(target, said) for target in run.targets.all()),
        events=tuple(EventRow(event.at, event.state, event.text) for event in run.events.all()),
        left_behind=None if run.left_behind is None else tuple(run.left_behind),
    )


def _phases(
    phases: Iterable[Phase],
    results: Iterable[PhaseResult],
    problems: Mapping[str, str],
    said: Mapping[tuple[int, str], str],
) -> tuple[PhaseRow, ...]:
    first = {result.phase: result for result in results if result.attempt == 1}
    return tuple(_phase(phase, first.get(phase), problems.get(phase, ""), said) for phase in phases)


def _phase(
    phase: str, result: PhaseResult | None, problem: str, said: Mapping[tuple[int, str], str]
) -> PhaseRow:
    if result is None:
        return PhaseRow(phase, problem=problem)
    columns = {name: getattr(result, name) for name in _OF_A_RESULT}
    stdout, stderr = (said.get((result.pk, stream), "") for stream in ("stdout", "stderr"))
    return PhaseRow(**columns, stdout=stdout, stderr=stderr, problem=problem)


_OF_A_RESULT = [name for name in PhaseRow._fields if name not in {"stdout", "stderr", "problem"}]


def _target(target: RunTarget, said: Mapping[tuple[int, str], str]) -> TargetRow:
    """The results of its scripts must be prefetched as by `whole`: without that, none would be found."""
    document = target.description.document if target.description else {}
    phases = remote.PHASES if target.remote else ()
    return TargetRow(
        instance_id=target.instance_id,
        volume_id=target.volume_id,
        region=target.region,
        state=target.state,
        consistency=target.consistency,
        reason=target.reason,
        fired_at=target.fired_at,
        snapshots=tuple(
            SnapshotRow(
                snapshot.snapshot_id,
                snapshot.volume_id,
                snapshot.state,
                snapshot.progress,
                described.device(document, snapshot.volume_id),
                described.size_gib(document, snapshot.volume_id),
            )
            for snapshot in target.snapshots.all()
        ),
        remote=target.remote or None,
        thaw_by=target.thaw_by,
        thaw_began_at=target.thaw_began_at,
        thawed_at=target.thawed_at,
        phases=_phases(phases, target.results.all(), target.script_problems, said),
    )
