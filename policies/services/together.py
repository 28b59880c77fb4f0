"""Many runs changed at once, each as `runs.apply` would do it, or none: a few statements and one commit for all.

Whoever loses the comparison of one run changes none, and takes each of them by itself.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from n2wbackup.lib import clock, compiled
from n2wbackup.lib.portions import portions
from policies.adapters import broker
from policies.domain.runs import sequence
from policies.domain.runs.sequence import Effect, Event, State, Step
from policies.domain.runs.verdict import Consistency
from policies.models import Run, RunEvent, RunSnapshot
from policies.services import closing

HINTED = 16  # runs of one hint to complete


class LostError(Exception):
    """A row is not as it was read; nothing was changed."""


@dataclass(slots=True)
class Change:
    """One run's event, with what `runs.apply` takes."""

    run: Run
    event: Event
    text: str
    end: State | None = None
    columns: dict[str, Any] = field(default_factory=dict)

    _before: dict[str, Any] = field(default_factory=dict)
    _noted: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> Step:
        """Return what the event leads to; NoSuchStepError if the run's state does not allow it."""
        return sequence.step(State(self.run.state), self.event)

    def become(self, columns: Mapping[str, Any]) -> None:
        """Let the run in memory be as its row is now."""
        self._before = {name: getattr(self.run, name) for name in columns}
        self._noted = dict(self.run.noted)
        self.run.noted.clear()
        for name, value in columns.items():
            setattr(self.run, name, value)

    def take_back(self) -> None:
        """Let the run in memory be as it was: its row is, too."""
        for name, value in self._before.items():
            setattr(self.run, name, value)
        self.run.noted.update(self._noted)


def apply_all(changes: Sequence[Change]) -> None:
    """Apply the changes within the caller's transaction, which LostError takes back whole."""
    now = clock.now()
    steps = [one.step for one in changes]
    written = [_columns(one, step, now) for one, step in zip(changes, steps, strict=True)]
    with transaction.atomic(savepoint=False):
        _update(changes, steps, written)
        for one, columns in zip(changes, written, strict=True):
            one.become(columns)
        try:
            record_all([(one.run, one.text) for one in changes], now)
            for effect, act in _EFFECTS.items():
                its = [
                    one.run
                    for one, step in zip(changes, steps, strict=True)
                    if effect in step.effects
                ]
                if its:
                    act(its, now)
        except BaseException:
            for one in changes:
                one.take_back()
            raise


def record_all(lines: Sequence[tuple[Run, str]], at: datetime) -> None:
    """Add a line to the history of each run."""
    compiled.enter([RunEvent(run=run, at=at, state=run.state, text=text) for run, text in lines])


def update_all(rows: QuerySet[Run], number: int, **columns: Any) -> None:  # noqa: ANN401 - values of columns
    """Write the columns of exactly so many rows; LostError, for the caller's transaction, if they are not so many."""
    if rows.update(**columns) != number:
        raise LostError


def _columns(one: Change, step: Step, now: datetime) -> dict[str, Any]:
    """Return the columns that the change writes, without those that the database works out."""
    unknown = set(step.effects) - {Effect.TAG, *_EFFECTS}
    state = step.state or one.end
    if unknown or state is None:
        message = f"{one.event} of a run that is {one.run.state} cannot be applied to many"
        raise ValueError(message)
    ended = {"ended_at": now, "consistency": Consistency.NONE} if state in sequence.ENDS else {}
    due = {"tags_due": True} if Effect.TAG in step.effects else {}
    return {"state": state, **ended, **one.run.noted, **one.columns, **due}


def _update(
    changes: Sequence[Change], steps: Sequence[Step], written: Sequence[Mapping[str, Any]]
) -> None:
    """Write the columns, equal ones together."""
    groups: list[tuple[tuple[str, str, bool], Mapping[str, Any], list[Run]]] = []
    for one, step, columns in zip(changes, steps, written, strict=True):
        as_read = (one.run.state, one.run.server, Effect.CLOSE in step.effects)
        for known, same, its in groups:
            if known == as_read and same == columns:
                its.append(one.run)
                break
        else:
            groups.append((as_read, columns, [one.run]))
    for (state, server, is_end), columns, its in groups:
        rows = Run.objects.filter(pk__in=[run.pk for run in its], state=state, server=server)
        usable = RunSnapshot.objects.filter(
            target__run=OuterRef("pk"), state=RunSnapshot.State.COMPLETED
        )
        judged = {"restore_point": Exists(usable)} if is_end else {}
        update_all(rows.order_by(), len(its), **columns, **judged)


def _complete(runs: Sequence[Run], _: datetime) -> None:
    by_server: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_server[run.server].append(run)
    for server, its in by_server.items():
        for some in portions((run.pk for run in its), HINTED):
            broker.on_commit(broker.COMPLETE, some[0], server, more=some[1:])


_EFFECTS: Mapping[Effect, Callable[[Sequence[Run], datetime], None]] = {
    Effect.COMPLETE: _complete,
    Effect.CLOSE: closing.close,
}
