"""What AWS shows late is not taken for gone, and a tag that somebody wrote takes nothing away."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from n2wbackup.lib import clock, home
from policies.adapters.memory_methods import Method
from policies.domain.errors import NotFoundError, ThrottledError
from policies.domain.recovery.states import Kind, State
from policies.ports.making import ImageOrder, Made, RootTask, VolumeOrder
from policies.services.recovery import asking, working
from tests.policies.services.recovery.restored import REGION, Restored, hurry, make, minutes_pass

pytestmark = pytest.mark.django_db


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Restored:
    return make(monkeypatch)


def test_nothing_goes_because_somebody_wrote_the_tag_of_a_recovery_on_it(
    restored: Restored,
) -> None:
    memory, recovery = restored.memory, restored.ask(Kind.INSTANCE)
    theirs, disk = memory.add_instance(REGION), memory.add_volume(REGION)
    with time_machine.travel(clock.now() - timedelta(days=1), tick=False):
        copied = memory.create_volume(
            VolumeOrder(REGION, restored.snapshot_of(restored.data), f"{REGION}a", "theirs", {})
        )
    tag = {"n2wbackup:recovery": str(recovery.pk), "n2wbackup:server": home.server_id()}
    for each in (disk.volume_id, copied, theirs.instance_id):
        memory.tag_made(REGION, [each], tag)
    other = {"BlockDeviceMappings": [], "RootDeviceName": "/dev/sda"}
    image = memory.register(ImageOrder(REGION, "theirs", tag, other))
    memory.fail_next("launch", ThrottledError("Often."))
    working.execute(recovery.pk)
    asking.cancel(recovery, by="alice")
    hurry(recovery)
    minutes_pass(recovery, 6)

    restored.work(recovery)

    assert recovery.state == State.CANCELLED
    assert {disk.volume_id, copied, *theirs.volume_ids} <= restored.volumes()
    assert restored.now(theirs.instance_id)["State"]["Name"] == "running"
    assert memory.image_state(REGION, image) == "available"


def test_what_aws_does_not_show_yet_is_not_taken_for_gone(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, before = restored.memory, restored.volumes()
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    real, hidden = memory.volumes, set[str]()

    def shown(region: str, ids: Sequence[str]) -> Any:
        return {key: of for key, of in real(region, ids).items() if key not in hidden}

    monkeypatch.setattr(memory, "volumes", shown)
    monkeypatch.setattr(memory, "made", lambda *_: Made())
    real_create = memory.create_volume

    def made_unseen(order: VolumeOrder) -> str:
        hidden.add(real_create(order))
        return next(iter(hidden))

    monkeypatch.setattr(memory, "create_volume", made_unseen)
    working.execute(recovery.pk)
    asking.cancel(recovery, by="alice")
    hurry(recovery)
    working.execute(recovery.pk)
    recovery.refresh_from_db()
    assert recovery.state == State.WORKING
    hidden.clear()
    hurry(recovery)
    restored.work(recovery)
    assert recovery.state == State.CANCELLED
    assert restored.volumes() == before


@pytest.mark.parametrize(
    ("kind", "method", "code"),
    [
        (Kind.VOLUME, "attach", "InvalidVolume.NotFound"),
        (Kind.INSTANCE, "launch", "InvalidAMIID.NotFound"),
    ],
)
def test_what_one_part_of_aws_does_not_know_yet_is_asked_for_again(
    restored: Restored, kind: Kind, method: Method, code: str
) -> None:
    own, data = restored.instance.instance_id, restored.data
    attached = {"volume_id": data, "attach_to": own, "device": "/dev/sdh", "confirmation": own}
    recovery = restored.ask(kind, **(attached if kind == Kind.VOLUME else {}))
    restored.memory.fail_next(method, NotFoundError("It does not exist.", code))
    restored.work(recovery)
    assert recovery.state == State.DONE, recovery.reason


def test_a_root_volume_that_aws_is_replacing_is_waited_for_before_it_is_taken_back(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, before, own = restored.memory, restored.devices(), restored.instance.instance_id
    recovery = restored.ask(Kind.ROOT_IN_PLACE, own, volume_id=restored.root)
    with monkeypatch.context() as slow:
        going = RootTask("replacevol-1", own, "in-progress")
        slow.setattr(memory, "root_task", lambda *_: going)
        working.execute(recovery.pk)
        asking.cancel(recovery, by="alice")
        hurry(recovery)
        working.execute(recovery.pk)
        recovery.refresh_from_db()
        assert recovery.state == State.WORKING
        assert not recovery.steps.filter(takes_back=True).exists()
    hurry(recovery)
    restored.work(recovery)
    assert recovery.state == State.CANCELLED
    assert restored.devices() == before
