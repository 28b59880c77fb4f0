"""What the page of a run shows beyond its rows: why it ended so, its timelines, and the last good run beside it."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from n2wbackup.lib import terminal
from policies.domain.runs import compared, explained, left_behind, sequence, timeline
from policies.domain.runs.compared import Sides
from policies.domain.runs.explained import Explained, Story, There
from policies.domain.runs.sequence import State
from policies.domain.runs.timeline import Course, Timeline
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, RunSnapshot
from policies.selectors import attempts, outputs, runs, worth
from policies.selectors.attempts import AttemptRow, OnInstance
from policies.selectors.runs import RunDetail
from scripts_admin.domain.phases import Outcome


class RunPage(NamedTuple):
    """All that the page of a run shows. The timelines are None where there is nothing to draw."""

    detail: RunDetail
    attempts: tuple[AttemptRow, ...]
    on_instances: tuple[OnInstance, ...]
    why: Explained | None
    course: Timeline | None
    window: Timeline | None
    said: str  # what is worth being announced
    policy: Policy | None
    thaw_by: str
    goes_on: bool
    may_be_frozen: bool
    cancelled_by: str
    printing: Mapping[str, str]  # the last lines of what complete has printed so far, by stream
    left: str  # what its scripts left behind, in a sentence; empty if nobody looked

    @property
    def has_none_on_server(self) -> bool:
        """Tell whether all its scripts run on instances: that the server has none is then nothing to look at."""
        idle = (Outcome.MISSING, Outcome.NOT_RUN)
        mine = [each for each in self.attempts if each.outcome not in idle or each.problem]
        return bool(self.on_instances) and not mine


def of(run: Run, now: datetime) -> RunPage:
    """Return the page of a run, whose rows must be prefetched as by `runs.whole`, with its policy."""
    rows = attempts.of(run)
    course = _course(run, rows)
    may_be_frozen = run.state in sequence.MAY_BE_FROZEN or (
        run.policy is not None and run.policy.may_be_frozen_since is not None
    )
    return RunPage(
        detail=runs.detail(run),
        attempts=rows,
        on_instances=attempts.on_instances(run),
        why=_why(run),
        course=timeline.of_run(course, now),
        window=timeline.of_window(course, now),
        said=_said(run),
        policy=run.policy,
        thaw_by=run.thaw_by,
        goes_on=run.ended_at is None,
        may_be_frozen=may_be_frozen,
        cancelled_by=run.cancelled_by,
        printing=outputs.printing(run),
        left=left_behind.sentence(run.left_behind, may_be_frozen=may_be_frozen),
    )


def _why(run: Run) -> Explained | None:
    if run.ended_at is None:
        return None
    story = Story(
        state=State(run.state),
        facts=worth.facts_of(run),
        reason=run.reason,
        thaw_by=run.thaw_by,
        cancelled_by=run.cancelled_by,
        problems=run.script_problems,
        targets=tuple((str(target), target.reason) for target in run.targets.all()),
        on_instances=tuple(_there(run)),
    )
    return explained.explain(story)


def _there(run: Run) -> Iterator[There]:
    for target in run.targets.all():
        for result in target.results.all():
            if result.attempt == 1:
                problem = target.script_problems.get(result.phase, "")
                outcome = Outcome.of(result.outcome)
                yield There(target.instance_id, result.phase, outcome, problem)


def _course(run: Run, rows: tuple[AttemptRow, ...]) -> Course:
    return Course(
        created=run.created_at,
        started=run.started_at,
        ordered=run.ordered_at,
        complete=run.complete_started_at,
        ended=run.ended_at,
        scripts=tuple(
            timeline.Script(row.phase, row.attempt, row.outcome, row.started_at, row.ended_at)
            for row in rows
        ),
        targets=tuple(
            timeline.Target(str(target), target.state, target.fired_at, target.returned_before_thaw)
            for target in run.targets.all()
        ),
        there=tuple(
            timeline.There(
                target.instance_id,
                timeline.Script(
                    each.phase, each.attempt, each.outcome, each.started_at, each.ended_at
                ),
            )
            for target in run.targets.all()
            for each in target.results.all()
        ),
        hold=None if run.hold_seconds is None else timedelta(seconds=run.hold_seconds),
    )


def _said(run: Run) -> str:
    """Return the run's state in a sentence; it changes only when something did that people wait for."""
    made = [each for target in run.targets.all() for each in target.snapshots.all()]
    done = sum(each.state == RunSnapshot.State.COMPLETED for each in made)
    told = f"The run is {run.state}."
    if run.ended_at is not None:
        told = f"The run has ended: {run.state}."
    return f"{told} {done} of {len(made)} snapshots are completed." if made else told


def last_good(run: Run) -> Run | None:
    """Return the policy's newest run before this one that succeeded, with its rows as by `runs.whole`."""
    if run.policy_id is None:
        return None
    before = runs.whole().filter(policy=run.policy_id, created_at__lt=run.created_at)
    good = before.filter(state=State.SUCCEEDED).exclude(trigger=Trigger.TEST)
    return good.order_by("-created_at").first()


def side_by_side(run: Run, good: Run) -> tuple[Sides, ...]:
    """Compare two runs, whose rows must be prefetched as by `runs.whole`."""
    return compared.compare(_facts(run), _facts(good))


def _facts(run: Run) -> compared.Facts:
    made = [each for target in run.targets.all() for each in target.snapshots.all()]
    first = [result for result in run.phases.all() if result.attempt == 1]
    return compared.Facts(
        state=run.state,
        consistency=run.consistency,
        trigger=run.trigger,
        hold=run.hold_seconds,
        freeze=run.freeze_seconds,
        whole=_seconds(run.started_at, run.ended_at),
        thaw_by=run.thaw_by,
        scripts={
            each.phase: compared.Script(
                terminal.line(each.script),
                "" if each.script_doubt else each.script_sha256,
                each.outcome,
                each.exit_code,
                _seconds(each.started_at, each.ended_at),
            )
            for each in first
        },
        targets={str(target): target.state for target in run.targets.all()},
        snapshots=(sum(s.state == RunSnapshot.State.COMPLETED for s in made), len(made)),
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None
