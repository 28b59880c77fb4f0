"""A run keeps what AWS said of its instances and volumes, without their user data."""

import hashlib
from dataclasses import replace

from n2wbackup.lib import clock
from policies.domain.errors import NotPermittedError
from policies.models import Description, PolicyTarget, Run, VolumeFire
from policies.selectors import runs
from policies.services.window import descriptions
from tests.policies.services.backup import Backup


def described(run: Run) -> Description:
    found = run.targets.get().description
    assert found is not None
    return found


def again(backup: Backup) -> Run:
    """Back up once more, without the pause that AWS requires between two snapshots of a volume."""
    VolumeFire.objects.all().delete()
    return backup.to_end()


def hashes_asked(backup: Backup) -> int:
    return [call.method for call in backup.cloud.calls].count("user_data_hash")


def test_a_run_keeps_what_aws_said(backup: Backup) -> None:
    backup.cloud.user_data[backup.instance.instance_id] = b"PASSWORD=geheim"
    found = described(backup.to_end())

    assert found.resource_id == backup.instance.instance_id
    assert found.document["instance"] == backup.instance.answer
    assert set(found.document["volumes"]) == set(backup.instance.volume_ids)
    assert found.document["user_data_sha256"] == hashlib.sha256(b"PASSWORD=geheim").hexdigest()
    assert "geheim" not in str(found.document)


def test_runs_that_saw_the_same_share_it_and_user_data_are_asked_for_once(backup: Backup) -> None:
    first, second = described(again(backup)), described(again(backup))
    assert first == second
    assert hashes_asked(backup) == 1


def test_a_change_of_the_instance_is_another_description(backup: Backup) -> None:
    first = described(backup.to_end())
    changed = replace(backup.instance, answer={**backup.instance.answer, "LaunchTime": "later"})
    backup.cloud._instances[changed.instance_id] = changed
    second = described(again(backup))
    assert second.document["instance"]["LaunchTime"] == "later"
    assert Description.objects.get(pk=first.pk).document["instance"] == backup.instance.answer
    assert hashes_asked(backup) == 2


def test_user_data_that_may_not_be_read_fail_no_backup(backup: Backup) -> None:
    backup.cloud.fail_next("user_data_hash", NotPermittedError("Denied."))
    run = backup.to_end()
    assert run.state == "succeeded"
    found = described(run).document
    assert (found["user_data_sha256"], found["user_data_problem"]) == (None, "Denied.")


def test_a_volume_by_itself_is_described_too(backup: Backup) -> None:
    volume = backup.cloud.add_volume()
    PolicyTarget.objects.update(instance_id="", volume_id=volume.volume_id)
    found = described(backup.to_end())
    assert found.resource_id == volume.volume_id
    assert found.document["instance"] is None
    assert list(found.document["volumes"]) == [volume.volume_id]


def test_a_snapshot_is_shown_with_the_device_and_size_of_its_volume(backup: Backup) -> None:
    backup.to_end()
    shown = runs.detail(runs.whole().get())
    assert [(s.device, s.size_gib) for s in shown.targets[0].snapshots] == [
        ("/dev/sda", 1),
        ("/dev/sdb", 1),
    ]


def test_a_description_that_is_still_seen_is_marked_as_seen(backup: Backup) -> None:
    found = described(backup.to_end())
    Description.objects.update(last_seen_at=clock.now() - 2 * descriptions._A_DAY)
    again(backup)
    assert Description.objects.get(pk=found.pk).last_seen_at > clock.now() - descriptions._A_DAY
