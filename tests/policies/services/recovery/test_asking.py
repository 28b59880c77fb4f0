"""What is refused before a recovery is entered, and that nothing is done then."""

import pytest

from policies.domain.errors import RefusedError, RejectedError
from policies.domain.recovery.states import Kind
from policies.models import Hold, Recovery
from policies.services.recovery import asking
from policies.services.recovery.planning import Choices
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from tests import factories
from tests.policies.services.recovery.restored import REGION, Restored, make

pytestmark = pytest.mark.django_db


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Restored:
    return make(monkeypatch)


def test_what_exists_is_changed_only_with_its_id_typed(restored: Restored) -> None:
    for given in ("", "yes", restored.data):
        with pytest.raises(RefusedError, match="confirm it with the id"):
            restored.ask(Kind.VOLUME_IN_PLACE, given, volume_id=restored.data, stops=True)
    with pytest.raises(RefusedError, match="is running"):
        restored.ask(Kind.VOLUME_IN_PLACE, restored.instance.instance_id, volume_id=restored.data)

    assert not Recovery.objects.exists()
    assert not Hold.objects.exists()
    assert restored.state() == "running"


def test_only_the_owner_reaches_other_instances_and_accounts(restored: Restored) -> None:
    other = restored.memory.add_instance(REGION)
    person = factories.charlie()
    choices = Choices(
        Kind.VOLUME, volume_id=restored.data, attach_to=other.instance_id, device="/dev/sdh"
    )
    with pytest.raises(RefusedError, match="not allowed to restore"):
        asking.ask(restored.run, choices, by="charlie", person=person)
    assert restored.run.policy is not None
    permissions.grant(person, restored.run.policy, [Right.RESTORE])
    with pytest.raises(RefusedError, match="does not belong to run"):
        asking.ask(
            restored.run, choices, by="charlie", person=person, confirmation=other.instance_id
        )
    factories.AccountFactory.create(owner=factories.alice(), name="second")
    with pytest.raises(RefusedError, match="has no account second"):
        asking.ask(
            restored.run,
            Choices(Kind.VOLUME, volume_id=restored.data, account="second"),
            by="charlie",
            person=person,
        )
    assert not Recovery.objects.exists()
    made = asking.ask(
        restored.run, Choices(Kind.VOLUME, volume_id=restored.data), by="charlie", person=person
    )
    assert made.requested_by == "charlie"


def test_a_volume_of_another_zone_or_at_a_device_in_use_is_refused_before_anything_is_made(
    restored: Restored,
) -> None:
    own = restored.instance.instance_id
    for more, sentence in [
        ({"device": "/dev/sdb"}, "is in use"),
        ({"device": "/dev/sdh", "zone": "us-east-1b"}, "cannot be attached there"),
        ({}, "Name the device"),
    ]:
        with pytest.raises((RefusedError, RejectedError), match=sentence):
            restored.ask(Kind.VOLUME, own, volume_id=restored.data, attach_to=own, **more)
    assert not Recovery.objects.exists()
