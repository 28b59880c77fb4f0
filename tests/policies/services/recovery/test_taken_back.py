"""What AWS did without an answer, and what somebody has put elsewhere meanwhile."""

import pytest

from policies.domain.errors import NotPermittedError, RejectedError
from policies.domain.recovery.states import Kind, State
from policies.models import Alarm
from policies.services.recovery import asking, working
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


def test_a_volume_that_was_attached_without_an_answer_is_attached(restored: Restored) -> None:
    """The SDK asks again by itself, and is told that the volume is in use."""
    own: str = restored.instance.instance_id
    said = RejectedError("The volume is already attached to an instance", "VolumeInUse")
    recovery = restored.ask(
        Kind.VOLUME, own, volume_id=restored.data, attach_to=own, device="/dev/sdh"
    )
    restored.memory.fail_next("attach", said, done=True)

    restored.work(recovery)

    assert recovery.state == State.DONE, recovery.reason
    assert restored.devices()["/dev/sdh"] == recovery.resources.get().resource_id


def test_a_new_volume_that_somebody_attached_elsewhere_is_told_and_not_called_deleted(
    restored: Restored,
) -> None:
    recovery = restored.work(restored.ask(Kind.VOLUME, volume_id=restored.data))
    made = recovery.resources.get()
    other = restored.memory.add_instance(REGION)
    restored.memory.attach(REGION, made.resource_id, other.instance_id, "/dev/sdx")
    asking.undo(recovery, by="alice", confirmation=str(recovery.pk))

    for _ in range(4):
        hurry(recovery)
        working.execute(recovery.pk)
        made.refresh_from_db()
        assert made.fate == "made"
        minutes_pass(recovery)
    restored.work(recovery)

    assert recovery.state == State.FAILED
    assert f"{made.resource_id}, which this recovery made, is attached to" in recovery.reason
    assert made.resource_id in Alarm.objects.get().text
    restored.memory.detach(REGION, made.resource_id, other.instance_id)
    asking.undo(recovery, by="alice", confirmation=str(recovery.pk))
    restored.work(recovery)
    made.refresh_from_db()
    assert (recovery.state, made.fate) == (State.UNDONE, "deleted")


@pytest.mark.parametrize("kind", [Kind.VOLUME, Kind.VOLUME_IN_PLACE])
def test_an_instance_that_has_ended_fails_it_at_once(restored: Restored, kind: Kind) -> None:
    """AWS calls its state incorrect, as it does of one that is still starting."""
    own = restored.instance.instance_id
    place = {"attach_to": own, "device": "/dev/sdh"} if kind == Kind.VOLUME else {}
    volume = restored.root if kind == Kind.VOLUME_IN_PLACE else restored.data
    recovery = restored.ask(kind, own, volume_id=volume, **place)
    restored.memory.terminate(own)

    restored.work(recovery)

    assert recovery.state == State.FAILED
    assert f"The instance {own} no longer exists" in recovery.reason
    assert restored.memory.made(REGION, str(recovery.pk)).volumes == ()
    assert not recovery.trouble_since


def test_a_worker_that_dies_before_the_way_back_is_planned_lets_no_next_step_begin(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes, planned = restored.volumes(), working._take_back
    recovery = restored.ask(Kind.INSTANCE)
    restored.memory.fail_next("register", NotPermittedError("Denied.", "Denied", "x"))

    def dying(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(working, "_take_back", dying)
    with pytest.raises(KilledError):
        working.execute(recovery.pk)
    monkeypatch.setattr(working, "_take_back", planned)
    restored.memory.fail_next("register", NotPermittedError("Denied.", "Denied", "x"))
    hurry(recovery)
    restored.work(recovery)

    assert (recovery.state, restored.volumes()) == (State.FAILED, volumes)
    assert "Denied" in recovery.reason
    assert not recovery.steps.filter(deed="launch", begun_at__isnull=False).exists()
