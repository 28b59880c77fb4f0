"""A model of one run's world: who lives, what the clock says, what really happened.

Judged by the real table, the real verdict, the real journal and the real `thaw.standing`; only processes,
AWS and rows are played. `Truth` is what an all-seeing witness would say; the code under test never reads it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from policies.domain.runs import sequence, verdict
from policies.domain.runs.sequence import ENDS, MAY_BE_FROZEN, Event, State
from policies.domain.runs.verdict import Consistency, Facts, Target
from policies.services.window import entering
from scripts_admin.domain.phases import FINE, Outcome, Phase, ThawBy
from scripts_admin.guard import thaw as thaws
from scripts_admin.guard.journal import Journal
from scripts_admin.guard.spool import Record, ScriptCommand
from tests.policies.domain.runs.truth import (
    BEFORE_SECONDS,
    MAX_FREEZE_SECONDS,
    WELL,
    Call,
    Fate,
    Truth,
)


class World:
    """One run. Every method is one event; it returns False if the event cannot happen now."""

    def __init__(self, *, before: bool, after: bool, complete: bool, calls: int) -> None:
        """Begin with a queued run."""
        self.state = State.QUEUED
        self.now, self.boot = 100.0, "boot-0"
        self.record = Record(
            run="run",
            boot="",
            folder="",
            environment={},
            max_freeze_seconds=MAX_FREEZE_SECONDS,
            thaw_retry_seconds=600.0,
            before=ScriptCommand(Phase.BEFORE, ("before",), BEFORE_SECONDS) if before else None,
            after=ScriptCommand(Phase.AFTER, ("after",), 10.0) if after else None,
            complete=ScriptCommand(Phase.COMPLETE, ("complete",), 10.0) if complete else None,
        )
        self.journal: Journal | None = None
        self.truth = Truth(has_before=before, has_after=after)
        self.calls = [Call() for _ in range(calls)]
        self.worker = self.guard = False  # alive, at this run
        self.attempt = 0  # the after that a guard is running now
        self.opened_at = 0.0
        self.cancelled = False
        self.complete_claimed = False
        self.phases: dict[Phase, Outcome] = {}
        self.thaw_by, self.thaw_attempts = "", 0

    # The table

    def apply(self, event: Event) -> bool:
        """Apply an event as the service does; COMPLETED takes the verdict's end state."""
        step = sequence.step(self.state, event)
        self.state = step.state or verdict.end_state(self.facts)
        return True

    @property
    def facts(self) -> Facts:
        """Return the facts in the rows."""
        first = lambda phase: self.phases.get(phase, Outcome.NOT_RUN)  # noqa: E731 - one line, thrice
        return Facts(
            before=first(Phase.BEFORE),
            after=first(Phase.AFTER),
            complete=first(Phase.COMPLETE),
            thawed_on_request=self.thaw_by == ThawBy.WORKER,
            cancelled=self.cancelled,
            targets=tuple(self._worth(call) for call in self.calls),
        )

    def _worth(self, call: Call) -> Target:
        row = call.row or Target()
        good = call.completed is True and call.made_at is not None and row.whole
        return replace(row, usable=int(good), whole=good)

    @property
    def consistency(self) -> Consistency:
        """Return the consistency that the run claims for its snapshots."""
        return verdict.run_consistency(self.facts)

    # Before the window

    def claim(self) -> bool:
        self.worker = True
        return self.apply(Event.CLAIMED)

    def leave_preparing(self, event: Event) -> bool:
        """Deferred, lost, or nothing left."""
        self.worker = False
        return self.apply(event)

    def cancel(self) -> bool:
        if self.complete_claimed:
            return False
        self.cancelled = True
        return self.apply(Event.CANCEL)

    def order(self) -> bool:
        """Write the record, start the guard, change the row."""
        self.record = replace(self.record, boot=self.boot)
        self.journal = Journal()
        self.guard = True
        return self.apply(Event.ORDERED)

    # The window

    def note(self, event: str, **values: Any) -> None:
        """Put a line into the journal."""
        assert self.journal is not None
        self.journal.take({"event": event, "at": self.now, "boot": self.now} | values)

    def go(self) -> bool:
        if not (self.worker and self.guard and self.journal) or self.journal.opened:
            return False
        self.note("opened")
        self.opened_at = self.now
        if self.record.before:
            self._order(Phase.BEFORE, 1, None)
            self.truth.before_started_at = self.now
        return True

    def _order(self, phase: str, attempt: int, argument: str | None) -> None:
        self.note("spawned", phase=phase, attempt=attempt, pid=1, start_ticks=1)
        self.note("ordered", phase=phase, attempt=attempt, argument=argument, script=phase)

    @property
    def before_runs(self) -> bool:
        return self.truth.before_started_at is not None and self.truth.before_over_at is None

    @property
    def open(self) -> bool:
        return self.guard and self.journal is not None and self.journal.opened

    def before_ends(self, outcome: str) -> bool:
        """Before ends by itself, or by its timeout, while its guard watches."""
        if not (self.open and self.before_runs):
            return False
        self._bury(outcome, cut=outcome == Outcome.TIMED_OUT)
        self.note("ended", phase="before", attempt=1, outcome=outcome, exit_code=None)
        return True

    def _bury(self, outcome: str, *, cut: bool) -> None:
        self.truth.before_over_at, self.truth.before_cut = self.now, cut
        self.truth.before_exit = outcome

    def call_is_made(self, number: int, *, returns: bool, refused: bool) -> bool:
        """One call reaches AWS; its answer arrives, or is lost."""
        call = self.calls[number]
        heard = call.returned_at is not None or call.lost
        if not self.worker or self.before_runs or not self.opened_at or heard or self._entered:
            return False
        if not refused:
            call.made_at = self.now
        call.refused = refused and returns
        call.returned_at = self.now if returns else None
        call.lost = not returns
        return True

    @property
    def _entered(self) -> bool:
        return self.state != State.FROZEN

    def thaw(self, by: str) -> bool:
        """The guard begins to thaw: the worker asked, the worker died, or the deadline passed."""
        if not self.open or self.attempt or (self.journal and self.journal.thaw_by):
            return False
        fits = {
            "worker": self.worker and not self.before_runs,
            "lost": not self.worker,
            "deadline": self.now - self.opened_at >= MAX_FREEZE_SECONDS,
        }
        if not fits[by]:
            return False
        self.note("thaw", by=by)
        self.truth.thawed_by = self.truth.thawed_by or by
        if self.before_runs:
            self._bury(Outcome.INTERRUPTED, cut=True)
            interrupted = Outcome.INTERRUPTED
            self.note("ended", phase="before", attempt=1, outcome=interrupted, exit_code=None)
        if self.record.after is None:
            self.guard = False
            return True
        before = self.journal.before.outcome if self.journal and self.journal.before else None
        self._start_after(1, "1" if (before or self.record.before_outcome) in FINE else "0")
        return True

    def _start_after(self, attempt: int, argument: str) -> None:
        assert not self.before_runs, "after runs beside before"
        assert not self.attempt, "two afters at a time"
        self._order(Phase.AFTER, attempt, argument)
        self.attempt = attempt
        self.truth.afters.append((self.now, argument, Outcome.INTERRUPTED))

    def after_ends(self, outcome: str) -> bool:
        if not (self.guard and self.attempt):
            return False
        self.note("ended", phase="after", attempt=self.attempt, outcome=outcome, exit_code=None)
        start, argument, _ = self.truth.afters[-1]
        self.truth.afters[-1] = (start, argument, outcome)
        self.attempt, self.guard = 0, False
        return True

    def call_is_late(self, number: int) -> bool:
        """AWS executes the call long after the worker stopped waiting."""
        call = self.calls[number]
        if not call.lost or call.made_at is not None or call.row:
            return False
        call.made_at = self.now
        return True

    def well(
        self,
        stages: int,
        before: str = Outcome.SUCCEEDED,
        after: str = Outcome.SUCCEEDED,
        fates: Sequence[Fate] = (),
    ) -> None:
        """Take the first stages of a run without a loss, as far as they are still to come."""
        if stages and self.state == State.QUEUED:
            self.claim()
        if stages > 1 and self.state == State.PREPARING and self.worker:
            self.order()
        if self.state != State.FROZEN:
            return
        known = [*fates[: len(self.calls)], *([WELL] * (len(self.calls) - len(fates)))]
        steps: list[Callable[[], object]] = [
            self.go,
            lambda: self.before_ends(before),
            lambda: [self.call_is_made(n, **fate) for n, fate in enumerate(known)],
            lambda: self.thaw("worker"),
            lambda: self.after_ends(after),
            self.enter,
        ]
        for step in steps[: max(0, stages - 1)]:
            step()

    # Losses

    def worker_dies(self) -> bool:
        died, self.worker = self.worker, False
        if died and self.guard and self.journal and not self.journal.opened:
            self.guard = False  # it closes its gates and goes
        return died

    def guard_dies(self) -> bool:
        died, self.guard, self.attempt = self.guard, False, 0
        return died

    def reboot(self) -> bool:
        self.truth.reboots += 1
        self.worker = self.guard = False
        self.attempt = 0
        self.journal = None
        self.boot, self.now = f"boot-{self.truth.reboots}", self.now + 20.0
        if self.before_runs:
            self._bury(Outcome.INTERRUPTED, cut=True)
        return True

    def journal_is_lost(self) -> bool:
        """Memory forgets without a reboot; nobody writes there now."""
        if self.guard or self.worker:
            return False
        self.journal = None
        return True

    # The watchdog

    @property
    def standing(self) -> thaws.Standing:
        return thaws.standing(self.record, self.journal, self.boot)

    def watchdog_thaws(self) -> bool:
        """One attempt, if one is due and nobody holds the lock."""
        due = self.standing.due if self.record.boot and not self.guard else None
        if self.state not in MAY_BE_FROZEN or due is None or due.at > self.now:
            return False
        if self.before_runs:  # a guard buries it first, and nobody sees its exit
            self._bury(Outcome.INTERRUPTED, cut=True)
        self.journal = self.journal or Journal()
        self.note("opened")
        if due.attempt == 1:
            self.note("thaw", by="lost")
        self.guard = True
        self._start_after(due.attempt, due.argument)
        return True

    def enter(self) -> bool:
        """Enter what happened: the worker that kept the window, or whoever comes after its death."""
        if self.state not in MAY_BE_FROZEN or self.guard:
            return False
        journal = self.journal or Journal()
        event, _ = entering.event_of(self.standing)
        known = len(journal.afters)
        news = known > self.thaw_attempts or (self.state == State.FROZEN and known > 0)
        if event in {Event.THAW_FAILED, Event.THAW_REPEATS} and not news:
            return False
        if self.state == State.FROZEN:
            self._enter_calls(journal)
        first = journal.afters[0].settled if journal.afters else None
        missing = Outcome.MISSING if self.record.after is None else Outcome.NOT_RUN
        self.phases.setdefault(Phase.BEFORE, self.standing.before)
        self.phases.setdefault(Phase.AFTER, first or missing)
        automatic = "lost" if self.standing.before != Outcome.NOT_RUN else ""
        self.thaw_by, self.thaw_attempts = journal.thaw_by or automatic, known
        self.truth.given_up |= event == Event.GIVEN_UP
        self.worker = False
        return self.apply(event)

    def _enter_calls(self, journal: Journal) -> None:
        for call in self.calls:
            if not self.worker or call.lost:
                call.unknown = True
            elif call.returned_at is not None:
                asked = journal.thaw_by == ThawBy.WORKER and journal.thaw_boot is not None
                in_time = asked and call.returned_at <= (journal.thaw_boot or 0.0)
                call.row = Target(returned_before_thaw=in_time, whole=not call.refused)

    def confirm(self) -> bool:
        self.truth.confirmed = True
        return self.apply(Event.CONFIRMED)

    # After the window

    def snapshot_ends(self, number: int, *, completed: bool) -> bool:
        call = self.calls[number]
        if call.made_at is None or call.completed is not None:
            return False
        call.completed = completed
        return True

    def poll(self) -> bool:
        """Settle lost answers by tag, and the run when every call is decided."""
        for call in self.calls:
            if call.unknown:
                call.unknown = False
                call.row = Target(whole=call.made_at is not None)
        waits = any(c.made_at is not None and c.row and c.completed is None for c in self.calls)
        if waits and not self.cancelled:
            return False
        return self.apply(Event.SETTLED)

    def claim_complete(self) -> bool:
        if self.complete_claimed:
            return False
        self.complete_claimed = True
        self.truth.complete_arguments.append(verdict.complete_argument(self.facts))
        return True

    def complete_ends(self, outcome: Outcome) -> bool:
        """Complete ended, or its end is unknown: interrupted. The run ends with it."""
        if not self.complete_claimed:
            return False
        self.phases[Phase.COMPLETE] = outcome if self.record.complete else Outcome.MISSING
        return self.apply(Event.COMPLETED)

    # The end

    def check(self) -> None:
        """Assert what must hold at every moment."""
        assert len(self.truth.complete_arguments) <= 1, "complete ran twice"
        if "1" in self.truth.complete_arguments:
            assert not self.cancelled, "complete 1 of a cancelled run"
            self.truth.check_nothing_failed(self.calls)
        if self.state in ENDS:
            self.truth.check_thawed()
            if self.consistency == Consistency.APPLICATION:
                self.truth.check_nothing_late(self.calls)
