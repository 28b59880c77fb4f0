"""A year of runs that never happened, so that calendars, lists and trends of the demo have something to show.

Only the newest runs have events and what scripts printed; a real server has deleted those of older runs, too.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.domain.runs.verdict import Consistency
from policies.models import (
    DailyCount,
    OutputChunk,
    PhaseResult,
    Policy,
    PolicyTarget,
    Run,
    RunEvent,
    RunTarget,
)
from policies.services.due import objectives
from scripts_admin.domain.phases import Outcome, Phase

DAYS = 365
_DETAILED = 14
_SAID = {
    Phase.BEFORE: b"flushed and locked\n",
    Phase.AFTER: b"unlocked\n",
    Phase.COMPLETE: b"logs truncated\n",
}
_AT_ONCE = 500
_SEED = 20_261_128  # every demo has the same past


@dataclass(frozen=True, slots=True)
class Night:
    """How one run ended."""

    state: State
    consistency: Consistency
    reason: str = ""


_GOOD = Night(State.SUCCEEDED, Consistency.APPLICATION)
_CRASH = Night(State.SUCCEEDED, Consistency.CRASH)
_PART = Night(State.PARTIAL, Consistency.CRASH, "before failed (exit code 1).")
_LOST = Night(State.FAILED, Consistency.NONE, "AWS denied CreateSnapshots: UnauthorizedOperation.")
_REFUSED = Night(
    State.FAILED, Consistency.NONE, "before failed (exit code 1). The policy skips snapshots then."
)
_MISSED = Night(State.MISSED, Consistency.NONE, "The server did not run at the due time.")


# Days before today: when something happened to a policy.
_NO_PERMISSION = range(96, 99)
_SERVER_AWAY = range(210, 212)
_PASSWORD_CHANGED = range(4)
_SWITCHED_OFF = 12
_WEEK = 7
_RARE, _SOME = 0.01, 0.03


def _website(days_ago: int, dice: random.Random) -> Night:
    return _LOST if days_ago in _NO_PERMISSION or dice.random() < _RARE else _CRASH


def _orders(days_ago: int, dice: random.Random) -> Night | None:
    if days_ago == 0:
        return None  # its last success is too old, and nothing has said so yet
    if dice.random() < _SOME:
        return _PART
    return _MISSED if days_ago in _SERVER_AWAY else _GOOD


def _mail(days_ago: int, dice: random.Random) -> Night:
    return _REFUSED if days_ago in _PASSWORD_CHANGED or dice.random() < _SOME else _GOOD


def _files(days_ago: int, _: random.Random) -> Night | None:
    return _GOOD if days_ago else None


def _build(days_ago: int, _: random.Random) -> Night | None:
    return _CRASH if days_ago > _SWITCHED_OFF else None


def _archive(days_ago: int, dice: random.Random) -> Night | None:
    if days_ago % _WEEK:
        return None
    return _PART if dice.random() < _SOME else _CRASH


_STORIES: dict[str, Callable[[int, random.Random], Night | None]] = {
    "website": _website,
    "orders": _orders,
    "mail": _mail,
    "wiki-files": _files,
    "build": _build,
    "archive": _archive,
}


def make_up(policies: dict[str, Policy], now: datetime) -> int:
    """Write the past of these policies, and return how many runs it has."""
    dice = random.Random(_SEED)
    count = 0
    for name, story in _STORIES.items():
        nights = [(days_ago, story(days_ago, dice)) for days_ago in range(DAYS, -1, -1)]
        made = [
            (_run(policies[name], night, now - timedelta(days=days_ago, hours=3), dice), days_ago)
            for days_ago, night in nights
            if night is not None
        ]
        _write(policies[name], made)
        count += len(made)
    _reckon([policies[name].pk for name in _STORIES])
    return count


def good_nights(policy: Policy, count: int, now: datetime) -> list[Run]:
    """Write so many good runs, one a night until the last one, and return them."""
    dice = random.Random(_SEED)
    made = [
        (_run(policy, _GOOD, now - timedelta(days=days_ago, hours=3), dice), days_ago)
        for days_ago in range(count - 1, -1, -1)
    ]
    _write(policy, made)
    _reckon([policy.pk])
    return [run for run, _ in made]


@transaction.atomic
def _reckon(keys: list[int]) -> None:
    """Let protection be reckoned from the past that has just been made up."""
    PolicyTarget.objects.filter(policy__in=keys).update(checked_at=None)
    objectives.reckon(keys)


def _run(policy: Policy, night: Night, at: datetime, dice: random.Random) -> Run:
    fired = night.state in {State.SUCCEEDED, State.PARTIAL}
    hold = (
        dice.lognormvariate(-1.6, 0.35)
        if fired and night.consistency == Consistency.APPLICATION
        else None
    )
    return Run(
        policy=policy,
        owner=policy.owner,
        account=policy.account,
        policy_name=policy.name,
        owner_name=policy.owner.username,
        trigger=Trigger.SCHEDULE,
        scheduled_for=at,
        created_at=at,
        started_at=None if night.state == State.MISSED else at + timedelta(seconds=1),
        fired_at=at + timedelta(seconds=3) if fired else None,
        ended_at=at + timedelta(minutes=dice.uniform(4, 15)),
        state=night.state,
        consistency=night.consistency,
        reason=night.reason,
        hold_seconds=hold,
        freeze_seconds=hold and hold + 0.08,
        thaw_by="worker" if hold else "",
        restore_point=fired,
    )


def _write(policy: Policy, made: list[tuple[Run, int]]) -> None:
    Run.objects.bulk_create([run for run, _ in made], batch_size=_AT_ONCE)
    target = policy.targets.get()
    RunTarget.objects.bulk_create(
        [_target(run, target.instance_id) for run, _ in made], batch_size=_AT_ONCE
    )
    detailed = [run for run, days_ago in made if days_ago <= _DETAILED]
    phases = [row for run in detailed for row in _phases(run)]
    PhaseResult.objects.bulk_create(phases)
    OutputChunk.objects.bulk_create([_said(each) for each in phases])
    RunEvent.objects.bulk_create([row for run in detailed for row in _events(run)])
    DailyCount.objects.bulk_create(
        [
            DailyCount(policy=policy, day=run.created_at.date(), state=run.state, runs=1)
            for run, _ in made
        ]
    )
    good = [run for run, _ in made if run.state == State.SUCCEEDED]
    Policy.objects.filter(pk=policy.pk).update(
        last_run=made[-1][0] if made else None,
        last_success_at=good[-1].ended_at if good else None,
        failed_since=_failed_since([run for run, _ in made]),
    )


def _failed_since(runs: list[Run]) -> datetime | None:
    """Return when the first run ended that failed and has had no success since."""
    since = None
    for run in runs:
        if run.state == State.SUCCEEDED:
            since = None
        elif run.state in sequence.FAILING and since is None:
            since = run.ended_at
    return since


def _target(run: Run, instance_id: str) -> RunTarget:
    fired = run.fired_at is not None
    return RunTarget(
        run=run,
        instance_id=instance_id,
        region="us-east-1",
        state=RunTarget.State.USABLE if fired else RunTarget.State.FAILED,
        consistency=run.consistency,
        fired_at=run.fired_at,
        returned_before_thaw=fired,
    )


def _phases(run: Run) -> Iterator[PhaseResult]:
    if run.hold_seconds is None or run.fired_at is None:
        return
    hold = timedelta(seconds=run.hold_seconds)
    spans = {
        Phase.BEFORE: (run.fired_at - timedelta(seconds=0.06), run.fired_at),
        Phase.AFTER: (run.fired_at + hold, run.fired_at + hold + timedelta(seconds=0.02)),
        Phase.COMPLETE: (run.ended_at, run.ended_at),
    }
    for phase, (began, ended) in spans.items():
        yield PhaseResult(
            run=run,
            phase=phase,
            outcome=Outcome.SUCCEEDED,
            exit_code=0,
            argument="" if phase == Phase.BEFORE else "1",
            script=f"{phase}_{run.policy_name}.sh",
            started_at=began,
            ended_at=ended,
        )


def _said(phase: PhaseResult) -> OutputChunk:
    said = _SAID[Phase(phase.phase)]
    return OutputChunk(result=phase, stream=OutputChunk.Stream.STDOUT, start=0, line=0, data=said)


def _events(run: Run) -> Iterator[RunEvent]:
    yield RunEvent(run=run, at=run.created_at, state=State.QUEUED, text="queued (schedule)")
    if run.fired_at is not None:
        yield RunEvent(run=run, at=run.fired_at, state=State.WAITING, text="snapshots fired")
    yield RunEvent(
        run=run,
        at=run.ended_at or run.created_at,
        state=run.state,
        text=run.reason or str(run.state),
    )
