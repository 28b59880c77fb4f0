"""Recoveries of each kind: what they make, that they can be undone, cancelled, and begun again at any step."""

from datetime import timedelta
from typing import Any

import pytest

from n2wbackup.lib import clock
from policies.adapters.memory_methods import Method
from policies.domain.errors import (
    AnswerLostError,
    NotPermittedError,
    RefusedError,
    ThrottledError,
)
from policies.domain.recovery.states import Kind, State
from policies.domain.recovery.steps import KEPT, REPLACED_BY
from policies.models import Alarm, Hold, Recovery, RecoveryStep
from policies.ports.making import Initialization
from policies.services.recovery import asking, deeds, working
from tests.policies.services.killed import KilledError
from tests.policies.services.recovery.restored import (
    REGION,
    Restored,
    hurry,
    make,
    minutes_pass,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Restored:
    return make(monkeypatch)


def wanted(restored: Restored, kind: Kind) -> dict[str, Any]:
    """Return the choices for each kind of recovery, and what confirms it."""
    own = restored.instance.instance_id
    found: dict[Kind, dict[str, Any]] = {
        Kind.VOLUME: {
            "volume_id": restored.data,
            "attach_to": own,
            "device": "/dev/sdh",
            "confirmation": own,
        },
        Kind.VOLUME_IN_PLACE: {"volume_id": restored.data, "stops": True, "confirmation": own},
        Kind.ROOT_IN_PLACE: {"volume_id": restored.root, "confirmation": own},
        Kind.INSTANCE: {},
    }
    return found[kind]


KINDS = [Kind.VOLUME, Kind.VOLUME_IN_PLACE, Kind.ROOT_IN_PLACE, Kind.INSTANCE]


def tags(said: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in said.get("Tags", [])}


def test_a_volume_is_made_as_it_was_and_is_not_done_before_it_is_at_full_speed(
    restored: Restored,
) -> None:
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    assert Hold.objects.get(run=restored.run).released_at is None

    restored.memory.usual_progress = None  # AWS says nothing yet
    restored.work(recovery, lambda row: row.state == State.INITIALIZING)
    (made,) = recovery.resources.all()
    assert (made.progress, recovery.full_speed_at) == (None, None)
    assert "not said yet" in recovery.waiting_for
    restored.memory.progress[made.resource_id] = Initialization(40, 120)
    hurry(recovery)
    working.execute(recovery.pk)

    recovery.refresh_from_db()
    made.refresh_from_db()
    assert (recovery.state, made.progress) == (State.INITIALIZING, 40)
    assert recovery.full_speed_at is not None
    assert timedelta(seconds=100) < recovery.full_speed_at - clock.now() < timedelta(seconds=130)
    said = restored.now(made.resource_id)
    assert (said["SnapshotId"], said["VolumeType"]) == (made.from_snapshot, "gp3")
    assert tags(said)["Name"] == f"disk {restored.data[-1]}"
    assert tags(said)["n2wbackup:recovery"] == str(recovery.pk)
    assert not any(key.startswith("aws:") for key in tags(said))
    restored.memory.progress[made.resource_id] = Initialization(100)
    hurry(recovery)
    restored.work(recovery)
    assert recovery.state == State.DONE
    assert Hold.objects.get(run=restored.run).released_at is not None
    assert not Alarm.objects.exists()


def test_a_volume_takes_the_place_of_the_old_one_which_stays(restored: Restored) -> None:
    before = restored.devices()
    device = next(name for name, of in before.items() if of == restored.data)

    recovery = restored.work(
        restored.ask(
            Kind.VOLUME_IN_PLACE,
            restored.instance.instance_id,
            volume_id=restored.data,
            stops=True,
        )
    )

    assert recovery.state == State.DONE, recovery.reason
    (made,) = recovery.resources.all()
    assert restored.devices() == {**before, device: made.resource_id}
    assert restored.state() == "running"
    (row,) = [r for r in restored.now()["BlockDeviceMappings"] if r["DeviceName"] == device]
    assert row["Ebs"]["DeleteOnTermination"] is True
    old = tags(restored.now(restored.data))
    assert old[REPLACED_BY] == made.resource_id
    assert old[KEPT] == f"{clock.now() + timedelta(days=7):%Y-%m-%d}"


def test_the_root_volume_of_a_running_instance_is_replaced(restored: Restored) -> None:
    recovery = restored.work(
        restored.ask(Kind.VOLUME_IN_PLACE, restored.instance.instance_id, volume_id=restored.root)
    )

    assert (recovery.kind, recovery.state) == (Kind.ROOT_IN_PLACE, State.DONE), recovery.reason
    made = recovery.resources.get()
    assert made.resource_id in restored.devices().values()
    assert restored.root not in restored.devices().values()
    assert tags(restored.now(made.resource_id))["n2wbackup:recovery"] == str(recovery.pk)
    assert REPLACED_BY in tags(restored.now(restored.root))


def test_an_instance_is_started_from_its_snapshots_and_the_image_is_taken_away(
    restored: Restored,
) -> None:
    recovery = restored.work(restored.ask(Kind.INSTANCE, name="again"))

    assert recovery.state == State.DONE, recovery.reason
    found = restored.memory.made(REGION, str(recovery.pk))
    assert found.images == ()
    (new,) = found.instances
    assert tags(restored.now(new))["Name"] == "again"
    kept = {each.resource_id for each in recovery.resources.filter(fate="made")}
    assert kept == {new, *found.volumes}
    assert restored.state() == "running"


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_was_done_is_undone_and_everything_is_as_it_was(
    restored: Restored, kind: Kind
) -> None:
    before, volumes, state = restored.devices(), restored.volumes(), restored.state()
    recovery = restored.work(restored.ask(kind, **wanted(restored, kind)))
    assert recovery.state == State.DONE, recovery.reason
    with pytest.raises(RefusedError, match="confirm it with the id"):
        asking.undo(recovery, by="alice", confirmation="yes")

    asking.undo(recovery, by="alice", confirmation=str(recovery.pk))
    restored.work(recovery)

    assert recovery.state == State.UNDONE, recovery.reason
    assert (restored.devices(), restored.volumes(), restored.state()) == (before, volumes, state)
    found = restored.memory.made(REGION, str(recovery.pk))
    assert (found.images, found.instances) == ((), ())
    assert working.left(recovery) == []


FAILING: list[tuple[Kind, Method]] = [
    (Kind.VOLUME, "create_volume"),
    (Kind.VOLUME, "attach"),
    (Kind.VOLUME_IN_PLACE, "create_volume"),
    (Kind.VOLUME_IN_PLACE, "stop"),
    (Kind.VOLUME_IN_PLACE, "detach"),
    (Kind.VOLUME_IN_PLACE, "attach"),
    (Kind.VOLUME_IN_PLACE, "set_deletion"),
    (Kind.VOLUME_IN_PLACE, "tag_made"),
    (Kind.VOLUME_IN_PLACE, "start"),
    (Kind.ROOT_IN_PLACE, "replace_root"),
    (Kind.ROOT_IN_PLACE, "tag_made"),
    (Kind.INSTANCE, "register"),
    (Kind.INSTANCE, "launch"),
    (Kind.INSTANCE, "deregister"),
]


@pytest.mark.parametrize(("kind", "method"), FAILING)
def test_a_refusal_at_any_step_takes_everything_back_and_is_told(
    restored: Restored, kind: Kind, method: Method
) -> None:
    before, volumes, state = restored.devices(), restored.volumes(), restored.state()
    recovery = restored.ask(kind, **wanted(restored, kind))
    restored.memory.fail_next(method, NotPermittedError("Denied.", "UnauthorizedOperation", "x"))

    restored.work(recovery)

    assert recovery.state == State.FAILED
    assert "Denied" in recovery.reason
    assert (restored.devices(), restored.volumes(), restored.state()) == (before, volumes, state)
    assert restored.memory.made(REGION, str(recovery.pk)).images == ()
    alarm = Alarm.objects.get()
    assert "Nothing that it made is left" in alarm.text
    assert Hold.objects.get(run=restored.run).released_at is not None


@pytest.mark.parametrize(("kind", "method"), FAILING)
@pytest.mark.parametrize("fault", ["throttled", "lost"])
def test_a_call_without_an_answer_is_made_again_and_nothing_is_made_twice(
    restored: Restored, kind: Kind, method: Method, fault: str
) -> None:
    volumes = restored.volumes()
    recovery = restored.ask(kind, **wanted(restored, kind))
    error = ThrottledError("Often.") if fault == "throttled" else AnswerLostError("Lost.")
    restored.memory.fail_next(method, error, done=fault == "lost")

    restored.work(recovery)

    assert recovery.state == State.DONE, recovery.reason
    new = restored.volumes() - volumes
    assert len(new) == (2 if kind == Kind.INSTANCE else 1)
    made = set(recovery.resources.filter(fate="made").values_list("resource_id", flat=True))
    assert new <= made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_at_any_step_is_followed_by_one_that_goes_on(
    restored: Restored, kind: Kind, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = restored.volumes()
    recovery = restored.ask(kind, **wanted(restored, kind))
    count = recovery.steps.count()
    struck = set()
    for deed, do in list(deeds.DEEDS.items()):

        def dying(bench: Any, step: RecoveryStep, do: Any = do) -> bool:
            if when == "after":
                do(bench, step)
            if step.position not in struck:
                struck.add(step.position)
                raise KilledError
            return bool(do(bench, step))

        monkeypatch.setitem(deeds.DEEDS, deed, dying)

    for _ in range(count + 1):
        try:
            working.execute(recovery.pk)
        except KilledError:
            working.execute(recovery.pk)  # its claim still stands: nothing happens
        hurry(recovery)
    restored.work(recovery)

    assert len(struck) == count
    assert recovery.state == State.DONE, recovery.reason
    assert len(restored.volumes() - volumes) == (2 if kind == Kind.INSTANCE else 1)
    assert restored.state() == "running"
    assert [step.state for step in recovery.steps.all()] == ["done"] * count


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancellation_takes_back_what_was_done(restored: Restored, kind: Kind) -> None:
    before, volumes, state = restored.devices(), restored.volumes(), restored.state()
    recovery = restored.ask(kind, **wanted(restored, kind))
    restored.memory.fail_next("create_volume", ThrottledError("Often."))
    restored.memory.fail_next("replace_root", ThrottledError("Often."))
    restored.memory.fail_next("launch", ThrottledError("Often."))
    working.execute(recovery.pk)
    recovery.refresh_from_db()
    assert recovery.state == State.WORKING

    asking.cancel(recovery, by="alice")
    hurry(recovery)
    minutes_pass(recovery, 6)
    restored.work(recovery)

    assert recovery.state == State.CANCELLED, recovery.reason
    assert (restored.devices(), restored.volumes(), restored.state()) == (before, volumes, state)
    assert not Alarm.objects.exists()
    with pytest.raises(RefusedError):
        asking.cancel(recovery, by="alice")


def test_what_has_not_begun_is_cancelled_at_once(restored: Restored) -> None:
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)

    assert asking.cancel(recovery, by="alice") == "cancelled; nothing was done"

    working.execute(recovery.pk)
    assert Recovery.objects.get(pk=recovery.pk).state == State.CANCELLED
    assert not [call for call in restored.memory.calls if call.method == "create_volume"]
    assert Hold.objects.get(run=restored.run).released_at is not None


def test_an_answer_that_was_lost_for_good_leaves_no_orphan(restored: Restored) -> None:
    volumes = restored.volumes()
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    restored.memory.fail_next("create_volume", AnswerLostError("Lost."), done=True)
    working.execute(recovery.pk)
    assert len(restored.volumes() - volumes) == 1  # and no row knows its id
    asking.cancel(recovery, by="alice")
    hurry(recovery)

    restored.work(recovery)

    assert recovery.state == State.CANCELLED
    assert restored.volumes() == volumes


def test_a_snapshot_that_is_gone_fails_with_a_sentence(restored: Restored) -> None:
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    restored.memory.delete_snapshot(restored.snapshot_of(restored.data))
    volumes = restored.volumes()

    restored.work(recovery)

    assert recovery.state == State.FAILED
    assert "does not exist" in recovery.reason
    assert restored.volumes() == volumes


def test_an_instance_that_ends_meanwhile_fails_it_and_what_was_made_goes(
    restored: Restored,
) -> None:
    recovery = restored.ask(
        Kind.VOLUME_IN_PLACE, restored.instance.instance_id, volume_id=restored.data, stops=True
    )
    restored.memory.terminate(restored.instance.instance_id)

    restored.work(recovery)

    assert recovery.state == State.FAILED
    assert restored.memory.made(REGION, str(recovery.pk)).volumes == ()


def test_what_cannot_be_taken_back_is_told_and_can_be_tried_again(restored: Restored) -> None:
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    restored.work(recovery)
    (made,) = working.left(recovery)
    asking.undo(recovery, by="alice", confirmation=str(recovery.pk))
    restored.memory.denied.add("DeleteVolume")

    for _ in range(3):
        hurry(recovery)
        working.execute(recovery.pk)
        minutes_pass(recovery)
    restored.work(recovery)

    assert recovery.state == State.FAILED
    assert "Not everything could be taken back" in recovery.reason
    assert made in Alarm.objects.get().text
    restored.memory.denied.clear()
    asking.undo(recovery, by="alice", confirmation=str(recovery.pk))
    restored.work(recovery)
    assert recovery.state == State.UNDONE
    assert restored.now(made) == {}


def test_a_worker_that_lost_its_claim_writes_nothing(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    real = restored.memory.create_volume

    def slow(*args: Any, **kwargs: Any) -> str:
        Recovery.objects.filter(pk=recovery.pk).update(
            claim="0" * 8 + "-0000-0000-0000-" + "0" * 12
        )
        return real(*args, **kwargs)

    monkeypatch.setattr(restored.memory, "create_volume", slow)
    working.execute(recovery.pk)

    assert recovery.steps.get().state == "begun"
    monkeypatch.setattr(restored.memory, "create_volume", real)
    hurry(recovery)
    restored.work(recovery)
    assert recovery.state == State.DONE
    assert len(recovery.resources.all()) == 1


def test_a_clock_that_was_put_back_stops_no_recovery(restored: Restored) -> None:
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    ahead = clock.now() + timedelta(hours=3)
    Recovery.objects.filter(pk=recovery.pk).update(next_at=ahead)

    assert working.tick() == 1
    working.execute(recovery.pk)

    recovery.refresh_from_db()
    assert recovery.state == State.DONE
