"""The facts that decide the results of runs, with the rows that they are of: of many in as few statements as of one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from n2wbackup.lib import compiled
from policies.domain.runs.verdict import Consistency, Facts, Target
from policies.models import PhaseResult, Run, RunSnapshot, RunTarget
from scripts_admin.domain import remote
from scripts_admin.domain.phases import Outcome, Phase, ThawBy

# An instance that thawed by itself takes the consistency from its own target, and from no other.
_ON_REQUEST = (ThawBy.WORKER, ThawBy.INSTANCE)
_Firsts = Mapping[int, Mapping[str, str]]  # by target, 0 for the server: each phase's first outcome
_NONE: Mapping[str, str] = {}


class Made(NamedTuple):
    """A snapshot of a run, as far as the run is judged by it."""

    target: int
    snapshot_id: str
    volume_id: str
    state: str


class Worth(NamedTuple):
    """The facts of a run, and the rows that they are of: targets in the facts' order, snapshots by target."""

    facts: Facts
    targets: Sequence[RunTarget]
    made: Mapping[int, Sequence[Made]]
    firsts: _Firsts


def facts(run: Run) -> Facts:
    """Return the facts that decide the run's result, from its rows. Outputs may be long and are not read."""
    return worth(run).facts


def worth(run: Run) -> Worth:
    """Return the facts with the rows that they are of: who needs both reads them once."""
    return worths([run])[run.pk]


def worths(runs: Sequence[Run]) -> dict[UUID, Worth]:
    """Return the worth of each run."""
    if not runs:
        return {}
    by_key = {run.pk: run for run in runs}
    targets: dict[UUID, list[RunTarget]] = defaultdict(list)
    # Put in order here: in the order of their keys, SQLite may read all targets ever made.
    for target in sorted(_targets([*by_key]), key=attrgetter("pk")):
        target.run = by_key[target.run_id]
        targets[target.run_id].append(target)
    firsts, made = _firsts(by_key), _made(by_key)
    return {key: _worth(run, targets[key], made[key], firsts[key]) for key, run in by_key.items()}


def again(known: Mapping[Run, Worth], complete: Mapping[Run, Outcome]) -> dict[Run, Worth]:
    """Return the worth of runs whose complete has ended so, from what was known before it started.

    Snapshots may have been lost meanwhile, and instances may have told more: neither is believed. A result of
    complete that is entered already counts.
    """
    anew = worths([run for run, one in known.items() if any(t.remote for t in one.targets)])
    made = _made({run.pk: run for run in known if run.pk not in anew})
    found = dict[Run, Worth]()
    for run, before in known.items():
        one = anew.get(run.pk, before)
        ended = {Phase.COMPLETE: complete[run]} if run in complete else {}
        firsts = {**one.firsts, 0: {**ended, **one.firsts.get(0, _NONE)}}
        its = one.made if run.pk in anew else made[run.pk]
        found[run] = _worth(run, one.targets, its, firsts)
    return found


def facts_of(run: Run) -> Facts:
    """Return the facts as `facts` does, from rows that are prefetched as by `runs.whole`; makes no query."""
    targets = list(run.targets.all())
    firsts = {target.pk: _first_there(target) for target in targets}
    firsts[0] = {result.phase: result.outcome for result in run.phases.all() if result.attempt == 1}
    made = {
        target.pk: [
            Made(target.pk, one.snapshot_id, one.volume_id, one.state)
            for one in target.snapshots.all()
        ]
        for target in targets
    }
    return _worth(run, targets, made, firsts).facts


def _firsts(runs: Mapping[UUID, Run]) -> Mapping[UUID, _Firsts]:
    """Return the first outcomes of each run, on the server and on its targets."""
    found: dict[UUID, dict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for run, target, phase, outcome in _results([*runs]):
        found[run][target or 0][phase] = outcome
    return found


def _made(runs: Mapping[UUID, Run]) -> Mapping[UUID, Mapping[int, Sequence[Made]]]:
    """Return the snapshots of each run, by target."""
    found: dict[UUID, dict[int, list[Made]]] = defaultdict(lambda: defaultdict(list))
    for _, run, *one in sorted(_snapshots([*runs])):
        found[run][one[0]].append(Made(*one))
    return found


@compiled.Reading
def _targets(runs: list[UUID]) -> QuerySet[RunTarget]:
    return RunTarget.objects.filter(run__pk__in=runs).order_by()


@compiled.Reading
def _results(runs: list[UUID]) -> QuerySet[PhaseResult, tuple[Any, ...]]:
    rows = PhaseResult.everywhere.filter(run__pk__in=runs, attempt=1).order_by()
    return rows.values_list("run", "target", "phase", "outcome")


@compiled.Reading
def _snapshots(runs: list[UUID]) -> QuerySet[RunSnapshot, tuple[Any, ...]]:
    rows = RunSnapshot.objects.filter(target__run__pk__in=runs).order_by()
    return rows.values_list("pk", "target__run", *Made._fields)


def _worth(
    run: Run, targets: Sequence[RunTarget], made: Mapping[int, Sequence[Made]], firsts: _Firsts
) -> Worth:
    here = firsts.get(0, _NONE)
    known = Facts(
        before=_outcome(here, Phase.BEFORE),
        after=_outcome(here, Phase.AFTER),
        complete=_outcome(here, Phase.COMPLETE),
        thawed_on_request=run.thaw_by in _ON_REQUEST,
        cancelled=run.cancel_requested_at is not None,
        required=Consistency(run.success_requires or Consistency.CRASH),
        is_test=run.is_test,
        test_phase=run.test_phase,
        targets=tuple(
            _target_facts(target, made.get(target.pk, ()), firsts.get(target.pk, _NONE))
            for target in targets
        ),
    )
    return Worth(known, targets, made, firsts)


def _first_there(target: RunTarget) -> Mapping[str, str]:
    """Return the first outcomes on an instance, from prefetched rows."""
    results = target.results.all() if target.remote else ()
    return {each.phase: each.outcome for each in results if each.attempt == 1}


def _outcome(first: Mapping[str, str], phase: Phase) -> Outcome:
    return Outcome.of(first[phase]) if phase in first else Outcome.NOT_RUN


def _was_held(target: RunTarget, first: Mapping[str, str]) -> bool | None:
    if not target.remote:
        return None
    ran = all(first.get(phase) == Outcome.SUCCEEDED for phase in remote.PHASES)
    return ran and target.thaw_by == remote.ThawnBy.WORKER


def _tried(target: RunTarget, first: Mapping[str, str]) -> Mapping[Phase, Outcome] | None:
    if target.state != RunTarget.State.TESTED:
        return None
    return {phase: _outcome(first, phase) for phase in remote.PHASES}


def _target_facts(target: RunTarget, made: Sequence[Made], first: Mapping[str, str]) -> Target:
    completed = {one.volume_id for one in made if one.state == RunSnapshot.State.COMPLETED}
    first = first if target.remote else _NONE
    return Target(
        returned_before_thaw=target.returned_before_thaw,
        usable=len(completed),
        whole=bool(completed)
        and completed == set(target.expected_volume_ids)
        and len(made) == len(completed),
        held=_was_held(target, first),
        tried=_tried(target, first),
        by_itself=target.thaw_by not in {"", remote.ThawnBy.WORKER},
    )
