"""The table of a run: no order of events leads to a false result or to a frozen application."""

import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from policies.domain.runs import sequence
from policies.domain.runs.sequence import (
    ENDS,
    MAY_BE_FROZEN,
    TABLE,
    UNFINISHED,
    Effect,
    Event,
    NoSuchStepError,
    State,
)
from scripts_admin.domain.phases import Outcome
from tests.ground.properties import HealthCheck, settings, st
from tests.policies.domain.runs.truth import WELL, Fate
from tests.policies.domain.runs.world import World


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_every_unfinished_state_can_be_cancelled(state: State) -> None:
    assert (state, Event.CANCEL) in TABLE


@pytest.mark.parametrize("state", sorted(ENDS))
@pytest.mark.parametrize("event", list(Event))
def test_an_end_is_an_end(state: State, event: Event) -> None:
    with pytest.raises(NoSuchStepError, match=f"a run that is {state} cannot be {event}"):
        sequence.step(state, event)


def test_every_event_means_something_somewhere() -> None:
    assert {event for _, event in TABLE} == set(Event)


def test_every_command_is_given_somewhere() -> None:
    assert {command for step in TABLE.values() for command in step.effects} == set(Effect)


def test_every_unfinished_state_is_reached_and_left_towards_an_end() -> None:
    leads: dict[State, set[State]] = {state: set() for state in State}
    for (state, _), step in TABLE.items():
        leads[state] |= {step.state} if step.state else set(ENDS)
    reached, to_end = {State.QUEUED}, set(ENDS)
    for _ in State:
        reached |= {after for state in reached for after in leads[state]}
        to_end |= {state for state in State if leads[state] & to_end}

    assert reached >= UNFINISHED
    assert to_end == set(State)


def test_only_the_completed_run_gets_its_end_from_the_verdict() -> None:
    assert [key for key, step in TABLE.items() if step.state is None] == [
        (State.COMPLETING, Event.COMPLETED)
    ]


@pytest.mark.parametrize("state", sorted(MAY_BE_FROZEN))
def test_what_may_be_frozen_is_left_only_by_a_thaw_a_word_or_the_end_of_all_attempts(
    state: State,
) -> None:
    leaving = {event for (of, event), step in TABLE.items()
               if of == state and step.state not in MAY_BE_FROZEN}  # fmt: skip

    assert leaving <= {Event.THAWED, Event.CONFIRMED, Event.GIVEN_UP}


def test_leases_are_released_exactly_where_nothing_may_be_frozen_any_more() -> None:
    held = {State.PREPARING, *MAY_BE_FROZEN}
    for (state, _), step in TABLE.items():
        gives_back = state in held and step.state not in held
        assert (Effect.RELEASE in step.effects) is gives_back


def test_what_fails_to_thaw_is_always_marked() -> None:
    for (_, event), step in TABLE.items():
        if event in {Event.THAW_FAILED, Event.GIVEN_UP}:
            assert Effect.MARK in step.effects
        if Effect.UNMARK in step.effects:
            assert event == Event.CONFIRMED


OUTCOMES = st.sampled_from(
    [Outcome.SUCCEEDED] * 3 + [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED]
)
CALLS = st.integers(0, 1)
FATES: st.SearchStrategy[Fate] = st.sampled_from(
    [
        WELL,
        WELL,
        WELL,
        {"returns": True, "refused": True},
        {"returns": False, "refused": False},
        {"returns": False, "refused": True},
    ]
)


class RunMachine(RuleBasedStateMachine):
    """Everything that can happen to a run, in any order, its keepers' deaths included."""

    world: World

    @initialize(
        before=st.sampled_from([True, True, True, False]),
        after=st.sampled_from([True, True, True, False]),
        complete=st.booleans(),
        calls=st.integers(1, 2),
        far=st.integers(0, 7),
        ends=st.tuples(OUTCOMES, OUTCOMES),
        fates=st.lists(FATES, min_size=2, max_size=2),
    )
    def begin(
        self,
        *,
        before: bool,
        after: bool,
        complete: bool,
        calls: int,
        far: int,
        ends: tuple[str, str],
        fates: list[Fate],
    ) -> None:
        self.world = World(before=before, after=after, complete=complete, calls=calls)
        self.world.well(
            far, *ends, fates
        )  # mishaps shall meet every stage, not the first ones only

    def is_in(self, *states: State) -> bool:
        return self.world.state in states

    @precondition(lambda self: self.is_in(State.QUEUED))
    @rule()
    def claim(self) -> None:
        self.world.claim()

    @precondition(lambda self: self.is_in(State.PREPARING))
    @rule(event=st.sampled_from([Event.DEFERRED, Event.LOST, Event.NOTHING_LEFT]))
    def leave_preparing(self, event: Event) -> None:
        self.world.leave_preparing(event)

    @precondition(lambda self: self.is_in(State.PREPARING) and self.world.worker)
    @rule()
    def order(self) -> None:
        self.world.order()

    @precondition(lambda self: not self.is_in(*ENDS))
    @rule(really=st.sampled_from([True, False, False]))
    def cancel(self, *, really: bool) -> None:
        if really:
            self.world.cancel()

    @precondition(lambda self: self.is_in(State.FROZEN))
    @rule()
    def go(self) -> None:
        self.world.go()

    @precondition(lambda self: self.world.open and self.world.before_runs)
    @rule(outcome=OUTCOMES)
    def before_ends(self, outcome: Outcome) -> None:
        self.world.before_ends(outcome)

    @precondition(lambda self: self.is_in(State.FROZEN))
    @rule(number=CALLS, returns=st.sampled_from([True, True, False]), refused=st.booleans())
    def call(self, number: int, *, returns: bool, refused: bool) -> None:
        if number < len(self.world.calls):
            self.world.call_is_made(number, returns=returns, refused=refused)

    @precondition(lambda self: self.is_in(State.FROZEN))
    @rule()
    def both_calls_return(self) -> None:
        for number in range(len(self.world.calls)):
            self.world.call_is_made(number, returns=True, refused=False)

    @rule(number=CALLS)
    def call_is_late(self, number: int) -> None:
        if number < len(self.world.calls):
            self.world.call_is_late(number)

    @precondition(lambda self: self.world.open)
    @rule(by=st.sampled_from(["worker", "worker", "lost", "deadline"]))
    def thaw(self, by: str) -> None:
        self.world.thaw(by)

    @precondition(lambda self: self.world.guard and self.world.attempt)
    @rule(outcome=OUTCOMES)
    def after_ends(self, outcome: Outcome) -> None:
        self.world.after_ends(outcome)

    @precondition(lambda self: self.world.worker)
    @rule()
    def worker_dies(self) -> None:
        self.world.worker_dies()

    @precondition(lambda self: self.world.guard)
    @rule()
    def guard_dies(self) -> None:
        self.world.guard_dies()

    @precondition(lambda self: self.is_in(*MAY_BE_FROZEN))
    @rule()
    def reboot(self) -> None:
        self.world.reboot()

    @precondition(lambda self: self.is_in(*MAY_BE_FROZEN))
    @rule()
    def journal_is_lost(self) -> None:
        self.world.journal_is_lost()

    @precondition(lambda self: self.is_in(*MAY_BE_FROZEN))
    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 31.0, 61.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @precondition(lambda self: self.is_in(*MAY_BE_FROZEN))
    @rule()
    def watchdog_thaws(self) -> None:
        self.world.watchdog_thaws()

    @precondition(lambda self: self.is_in(*MAY_BE_FROZEN))
    @rule()
    def enter(self) -> None:
        self.world.enter()

    @precondition(lambda self: self.is_in(State.THAWING))
    @rule(really=st.sampled_from([True, False, False, False]))
    def confirm(self, *, really: bool) -> None:
        if really and not self.world.guard:
            self.world.confirm()

    @rule(number=CALLS, completed=st.sampled_from([True, True, True, False]))
    def snapshot_ends(self, number: int, *, completed: bool) -> None:
        if number < len(self.world.calls):
            self.world.snapshot_ends(number, completed=completed)

    @precondition(lambda self: self.is_in(State.WAITING))
    @rule()
    def poll(self) -> None:
        self.world.poll()

    @precondition(lambda self: self.is_in(State.COMPLETING))
    @rule()
    def claim_complete(self) -> None:
        self.world.claim_complete()

    @precondition(lambda self: self.is_in(State.COMPLETING))
    @rule(outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.INTERRUPTED]))
    def complete_ends(self, outcome: Outcome) -> None:
        self.world.complete_ends(outcome)

    @invariant()
    def nothing_is_a_lie(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """Let the survivors do their work: every run ends, and its end is correct."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(200):
            if world.state in ENDS:
                break
            self.survive()
        assert world.state in ENDS, f"the run never ends: {world.state}"
        world.check()

    def survive(self) -> None:
        """Take the next step that no further mishap would prevent."""
        world = self.world
        if world.state == State.QUEUED:
            world.claim()
        elif world.state == State.PREPARING:
            world.leave_preparing(Event.NOTHING_LEFT)
        elif world.state in MAY_BE_FROZEN:
            if world.worker and world.guard:
                world.well(7)
            world.worker_dies()
            for step in (
                lambda: world.thaw("lost"),
                lambda: world.after_ends(Outcome.SUCCEEDED),
                world.watchdog_thaws,
                lambda: world.after_ends(Outcome.SUCCEEDED),
                world.enter,
            ):
                step()
            world.now += 7.0
        elif world.state == State.WAITING:
            for number in range(len(world.calls)):
                world.call_is_late(number)
                world.snapshot_ends(number, completed=True)
            world.poll()
        else:
            world.claim_complete()
            world.complete_ends(Outcome.SUCCEEDED)


def test_no_sequence_of_events_lies_or_leaves_anything_frozen(
    request: pytest.FixtureRequest,
) -> None:
    run_state_machine_as_test(
        RunMachine,
        settings=settings(
            max_examples=700 if request.config.getoption("thorough") else 40,
            stateful_step_count=10,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_machine_reaches_what_it_shall_judge() -> None:
    """A run without mishaps is consistent and is completed with 1: else the machine would prove nothing."""
    world = World(before=True, after=True, complete=True, calls=2)
    world.well(7)
    for number in range(2):
        world.snapshot_ends(number, completed=True)
    world.poll()
    world.claim_complete()
    world.complete_ends(Outcome.SUCCEEDED)

    assert (world.state, world.consistency) == (State.SUCCEEDED, "application")
    assert world.truth.complete_arguments == ["1"]
    world.check()
