"""Two workers that know the same run, one of them from long ago: never do both win.

Random events are applied through `services.runs`, from fresh and from stale copies of the row; what the
database holds must stay what the table allows, whoever comes first.
"""

from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.domain.runs import sequence
from policies.domain.runs.sequence import ENDS, MAY_BE_FROZEN, Event, State
from policies.domain.runs.trigger import Trigger
from policies.models import DailyCount, Policy, Run, RunEvent, WindowLease
from policies.services import claiming, runs
from policies.services.due import hints
from policies.services.watch import confirming
from tests import factories
from tests.ground.properties import HealthCheck, settings, st

EVENTS = st.sampled_from(list(Event))
END_STATES = st.sampled_from([State.SUCCEEDED, State.PARTIAL, State.FAILED])
LEASES = 2


class RowMachine(RuleBasedStateMachine):
    """One policy; `stale` is what a slow worker still believes of its run."""

    run: Run
    stale: Run
    policy: Policy

    @initialize()
    def begin(self) -> None:
        self.savepoint = transaction.savepoint()
        self.policy = factories.PolicyFactory.create()
        self.history = 0
        self.ended: dict[Any, State] = {}
        self.start()

    def start(self) -> None:
        self.run = runs.start(policy=self.policy, trigger=Trigger.MANUAL)
        self.stale = Run.objects.get(pk=self.run.pk)

    def row(self) -> Run:
        return Run.objects.get(pk=self.run.pk)

    @rule()
    def the_slow_one_looks_again(self) -> None:
        self.stale = self.row()

    @rule(event=EVENTS, end=END_STATES, slow=st.booleans())
    def apply(self, event: Event, end: State, *, slow: bool) -> None:
        """The winner changes the row as the table says; a loser, or a wrong event, leaves it as it was."""
        one = self.stale if slow else self.row()
        known, before = State(one.state), self.row()
        events = RunEvent.objects.count()
        try:
            won = runs.apply(one, event, "by the slow one" if slow else "by the quick one", end=end)
        except sequence.NoSuchStepError:
            assert (known, event) not in sequence.TABLE
            won = False
        after = self.row()
        if not won:
            assert (after.state, after.ended_at) == (before.state, before.ended_at)
            assert RunEvent.objects.count() == events
            return
        assert before.state == known, "a stale copy won"
        assert after.state == (sequence.step(known, event).state or end)
        assert one.state == after.state
        assert RunEvent.objects.count() == events + 1

    @rule(event=EVENTS, end=END_STATES)
    def both_at_once(self, event: Event, end: State) -> None:
        """If two workers know the same state, at most one of them changes it."""
        first, second = self.row(), self.row()
        step = sequence.TABLE.get((State(first.state), event))
        if step is None or step.state == first.state:
            return
        won = [runs.apply(one, event, "both", end=end) for one in (first, second)]
        assert won == [True, False]

    @rule()
    def claim(self) -> None:
        was = self.row().state
        claimed = claiming.take(self.run.pk)
        assert (claimed is not None) == (was == State.QUEUED)
        assert claiming.take(self.run.pk) is None

    @rule(slow=st.booleans())
    def cancel(self, *, slow: bool) -> None:
        before = self.row()
        try:
            runs.cancel(self.stale if slow else self.row(), by="alice")
        except RefusedError:
            assert before.state in ENDS or before.complete_started_at
            assert self.row().state == before.state
        else:
            assert self.row().cancel_requested_at
            assert not (before.state in MAY_BE_FROZEN and self.row().state not in MAY_BE_FROZEN)

    @rule()
    def complete_is_claimed(self) -> None:
        Run.objects.filter(pk=self.run.pk, state=State.COMPLETING).update(
            complete_started_at=clock.now()
        )

    @rule()
    def leases_are_taken(self) -> None:
        if self.row().state == State.PREPARING:
            for number in range(LEASES):
                WindowLease.objects.get_or_create(
                    resource=f"r:{number}", defaults={"run": self.run, "taken_at": clock.now()}
                )

    @rule()
    def confirm(self) -> None:
        marked = Policy.objects.get(pk=self.policy.pk).may_be_frozen_since
        thawing = self.row().state == State.THAWING
        self.policy.refresh_from_db()
        try:
            confirming.confirm(self.policy, by="alice")
        except RefusedError:
            assert marked is None
            assert not thawing
        else:
            assert Policy.objects.get(pk=self.policy.pk).may_be_frozen_since is None

    @rule()
    def another_is_started(self) -> None:
        finished = self.row().state in ENDS
        try:
            self.start()
        except RefusedError:
            assert not finished
        else:
            assert finished

    @rule()
    def a_due_time_comes(self) -> None:
        """It becomes a run, or a skipped one; the next must not be the same due time."""
        finished = self.row().state in ENDS
        made = runs.start(policy=self.policy, trigger=Trigger.SCHEDULE, scheduled_for=clock.now())
        if finished:
            self.run, self.stale = made, Run.objects.get(pk=made.pk)
        else:
            assert made.state == State.SKIPPED

    @rule()
    def hints_are_sent_again(self) -> None:
        Run.objects.filter(pk=self.run.pk).update(dispatched_at=None)
        hints.resend()

    @invariant()
    def rows_hold_what_was_promised(self) -> None:
        if not hasattr(self, "run"):
            return
        mine = Run.objects.filter(policy=self.policy)
        assert mine.unfinished().count() <= 1
        for run in mine:
            assert (run.ended_at is not None) == (run.state in ENDS)
            last = self.ended.setdefault(run.pk, State(run.state)) if run.ended_at else run.state
            assert run.state == last, "an end changed"
        kept = {State.PREPARING, *MAY_BE_FROZEN}
        holders = mine.filter(leases__isnull=False)
        assert all(run.state in kept for run in holders)
        counted = sum(DailyCount.objects.filter(policy=self.policy).values_list("runs", flat=True))
        assert counted == mine.exclude(ended_at=None).count()
        assert RunEvent.objects.count() >= self.history
        self.history = RunEvent.objects.count()

    def teardown(self) -> None:
        if hasattr(self, "savepoint"):
            transaction.savepoint_rollback(self.savepoint)


def test_of_two_that_know_a_run_never_do_both_win(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policies.adapters.broker.send", lambda _task, _run_id, _server="": None)
    assert connection.in_atomic_block
    run_state_machine_as_test(
        RowMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
        ),
    )
