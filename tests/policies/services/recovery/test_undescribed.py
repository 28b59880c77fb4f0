"""Restore points without a description of their instance, as those that were adopted by their tags."""

from typing import Any

import pytest

from policies.domain.errors import RefusedError
from policies.domain.recovery.states import Kind, State
from policies.models import Hold, Recovery, RunTarget
from policies.services.recovery import planning
from policies.services.recovery.planning import Choices
from tests.policies.services.recovery.copied import VAULT, Copied, copy_all

pytestmark = pytest.mark.django_db


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Copied:
    made = copy_all(monkeypatch)
    RunTarget.objects.filter(run=made.run).update(description=None)
    return made


def planned(copied: Copied, **wanted: Any) -> planning.Plan:
    return planning.plan(copied.run, Choices(Kind.INSTANCE, **wanted))


def test_the_instance_of_today_serves_and_that_is_said(copied: Copied) -> None:
    own = copied.restored.instance.instance_id

    plan = planned(copied)
    recovery = copied.restored.work(copied.restored.ask(Kind.INSTANCE))

    assert plan.notes[0].startswith(f"What {own} was like at the time of the backup is not known")
    assert any("user data are left out" in note for note in plan.notes)
    mapped = plan.steps[0].params["parameters"]["BlockDeviceMappings"]
    assert {row["DeviceName"]: row["Ebs"]["SnapshotId"] for row in mapped} == {
        device: copied.restored.snapshot_of(volume)
        for device, volume in copied.restored.devices().items()
    }
    assert plan.steps[1].params["parameters"]["InstanceType"] == "t3.micro"
    assert recovery.state == State.DONE


def test_where_it_is_gone_the_refusal_says_what_is_possible(copied: Copied) -> None:
    copied.copy(copied.vault)
    copied.here.terminate(copied.restored.instance.instance_id)

    for source in ("", VAULT):
        with pytest.raises(RefusedError) as refused:
            copied.restored.ask(Kind.INSTANCE, source=source)
        text = str(refused.value)
        assert "no longer exists in us-east-1" in text
        assert copied.restored.data in text
        assert copied.restored.root in text
        assert "restore each as a volume" in text
        assert "single files" in text

    assert not Recovery.objects.exists()
    assert not Hold.objects.exists()
    recovery = copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data)
    assert copied.restored.work(recovery).state == State.DONE


def test_a_root_that_was_exchanged_since_is_refused(copied: Copied) -> None:
    own = copied.restored.instance.instance_id
    copied.restored.work(
        copied.restored.ask(Kind.ROOT_IN_PLACE, own, volume_id=copied.restored.root)
    )

    with pytest.raises(RefusedError, match=r"root volume at .* has no snapshot in this backup"):
        copied.restored.ask(Kind.INSTANCE)

    assert Recovery.objects.count() == 1
