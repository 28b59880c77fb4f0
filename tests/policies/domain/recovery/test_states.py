"""The states of a recovery, and its steps: whatever happens in whatever order, they stay true."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from policies.domain.recovery import states, steps
from policies.domain.recovery.states import Event, State
from policies.domain.recovery.steps import Deed, Place, Step

PLACE = Place("i-1", "/dev/sdf", "vol-old", deletes=True, zone="us-east-1a")
WANTED = {"snapshot": "snap-1", "zone": "us-east-1a"}
KINDS = {
    "volume": steps.volume(WANTED, "i-1", "/dev/sdh"),
    "in place": steps.in_place(WANTED, PLACE, stops=True, kept_until="2026-12-06"),
    "root": steps.root_in_place("snap-1", PLACE, kept_until="2026-12-06"),
    "instance": steps.instance({}, {}, {}, {"/dev/sda": {"Name": "root"}}),
}


class Life(RuleBasedStateMachine):
    """One recovery, to which anything may happen that the table allows or not."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.QUEUED
        self.past = [State.QUEUED]

    @rule(event=st.sampled_from(Event))
    def happens(self, event: Event) -> None:
        found = states.after(self.state, event)
        if found is not None:
            self.state = found
            self.past.append(found)

    @precondition(lambda self: self.state in {State.UNDONE, State.CANCELLED})
    @rule(event=st.sampled_from(Event))
    def what_was_taken_back_stays_so(self, event: Event) -> None:
        assert states.after(self.state, event) is None

    @invariant()
    def nothing_is_done_that_was_not_worked_on(self) -> None:
        if self.state in {State.DONE, State.INITIALIZING, State.UNDONE}:
            assert State.WORKING in self.past

    @invariant()
    def every_unfinished_state_can_end(self) -> None:
        reached, open_ = {self.state}, [self.state]
        while open_:
            now = open_.pop()
            for event in Event:
                then = states.after(now, event)
                if then is not None and then not in reached:
                    reached.add(then)
                    open_.append(then)
        assert reached & states.ENDS


TestLife = Life.TestCase


class Device:
    """What stands at a device, and whether the instance runs, as the steps change it."""

    def __init__(self) -> None:
        self.at: str | None = "vol-old"
        self.runs = True
        self.made: dict[int, str] = {}

    def do(self, position: int, step: Step) -> None:
        thing = step.params.get("volume") or self.made.get(step.params.get("of", -1), "")
        match step.deed:
            case Deed.CREATE:
                self.made[position] = "vol-new"
            case Deed.ROOT:
                self.made[position], self.at = "vol-new", "vol-new"
            case Deed.STOP:
                self.runs = False
            case Deed.START:
                self.runs = True
            case Deed.DETACH:
                if self.at == thing:
                    self.at = None
            case Deed.ATTACH if step.params.get("device") == PLACE.device:
                assert self.at in {None, thing}, "the device is in use"
                self.at = thing
            case Deed.DELETE:
                assert self.at != thing or not thing, "a volume that is attached is deleted"
                self.made.pop(step.params["of"], None)
            case _:
                pass


def test_whatever_part_was_done_the_way_back_leads_to_the_old_volume_and_a_running_instance() -> (
    None
):
    for name in ("in place", "root", "volume"):
        forward = KINDS[name]
        for done in range(len(forward) + 1):
            machine = Device()
            begun = list(enumerate(forward))[:done]
            for position, step in begun:
                machine.do(position, step)
            for number, step in enumerate(steps.backward(begun), start=len(forward)):
                machine.do(number, step)
            assert (machine.at, machine.runs, machine.made) == ("vol-old", True, {}), (name, done)


def test_the_way_back_ends_with_a_look_at_what_is_left_and_is_empty_where_nothing_was_begun() -> (
    None
):
    for forward in KINDS.values():
        begun = list(enumerate(forward))
        assert steps.backward(begun)[-1].deed == Deed.SWEEP
        assert steps.backward([]) == []


def test_every_deed_has_a_sentence() -> None:
    for forward in KINDS.values():
        for step in (*forward, *steps.backward(list(enumerate(forward)))):
            assert steps.sentence(step).endswith(".")
