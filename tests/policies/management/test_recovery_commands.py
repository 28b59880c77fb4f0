"""restore, list_recoveries, show_recovery and their like: what they print, and what they refuse."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from policies.domain.recovery.states import State
from policies.models import Copy, Recovery, RunSnapshot
from policies.services.browsing import fetching
from policies.services.browsing.copying import Copied
from scripts_admin.models import AuditEntry
from tests.policies.services.recovery.restored import REGION, Restored, make

pytestmark = pytest.mark.django_db


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Restored:
    return make(monkeypatch)


def told(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_a_dry_run_says_exactly_what_would_be_made_and_makes_nothing(restored: Restored) -> None:
    run, volumes = str(restored.run.pk), restored.volumes()
    snapshot = restored.snapshot_of(restored.data)

    text = told("restore", run, "--volume", restored.data, "--dry-run")
    found = json.loads(told("restore", run, "--instance", "--dry-run", "--json"))

    assert f"Create a volume (gp3) from {snapshot} in us-east-1a. AWS permits it." in text
    assert [step["deed"] for step in found["steps"]] == [
        "register image", "run instance", "tag volumes", "deregister image",
    ]  # fmt: skip
    assert [step["asked"] for step in found["steps"]] == [True, False, False, False]
    mapped = found["steps"][0]["parameters"]["parameters"]["BlockDeviceMappings"]
    assert {each["Ebs"]["SnapshotId"] for each in mapped} == {
        snapshot, restored.snapshot_of(restored.root),
    }  # fmt: skip
    assert restored.volumes() == volumes
    assert not Recovery.objects.exists()


def test_what_aws_refuses_is_told_and_fails(restored: Restored) -> None:
    restored.memory.denied.add("CreateVolume")

    with pytest.raises(CommandError, match="AWS would refuse this"):
        told("restore", str(restored.run.pk), "--volume", restored.data, "--dry-run")


def test_a_recovery_is_asked_for_shown_and_undone(restored: Restored) -> None:
    answer = told("restore", str(restored.run.pk), "--volume", restored.data)
    recovery = Recovery.objects.get()
    assert str(recovery.pk) in answer
    assert AuditEntry.objects.get(action="restored").changes[0][2] == str(recovery.pk)
    restored.work(recovery)
    made = recovery.resources.get()

    found = json.loads(told("show_recovery", str(recovery.pk), "--json"))
    assert (found["id"], found["run"], found["kind"], found["state"]) == (
        str(recovery.pk), str(restored.run.pk), "volume", "done",
    )  # fmt: skip
    (created,) = found["created"]
    assert created["resource"] == made.resource_id
    assert (created["from_snapshot"], created["progress"]) == (made.from_snapshot, 100)
    assert created["full_speed_at"]
    assert found["events"][-1]["text"] == "Done: everything is at full speed."
    assert "Made: " in told("show_recovery", str(recovery.pk))
    listed = json.loads(told("list_recoveries", "--json", "--policy", "alice/shop"))
    assert [row["id"] for row in listed["recoveries"]] == [str(recovery.pk)]

    with pytest.raises(CommandError, match="confirm it with the id"):
        told("undo_recovery", str(recovery.pk))
    told("undo_recovery", str(recovery.pk), "--confirm", str(recovery.pk))
    restored.work(recovery)
    assert recovery.state == State.UNDONE
    assert restored.memory.made(REGION, str(recovery.pk)).volumes == ()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Say what is restored"),
        (["--volume", "{data}", "--instance"], "Say what is restored"),
        (["--volume", "vol-0123"], "has no snapshot of vol-0123"),
        (["--in-place"], "has several volumes"),
        (["--in-place", "--volume", "{data}"], "is running"),
        (["--in-place", "--volume", "{data}", "--stop"], "confirm it with the id"),
        (["--volume", "{data}", "--attach", "i-1"], "INSTANCE:DEVICE"),
        (["--volume", "{data}", "--account", "nobodys"], "has no account nobodys"),
        (["--volume", "{data}", "--subnet", "subnet-1"], "--subnet does not go with --volume"),
        (["--volume", "{data}", "--stop"], "--stop does not go with --volume"),
        (["--volume", "{data}", "--to", "/tmp"], "--to does not go with --volume"),
        (["--instance", "--kms-key", "k"], "--kms-key does not go with --instance"),
        (["--instance", "--attach", "i-1:/dev/sdf"], "--attach does not go with --instance"),
        (["--in-place", "--volume", "{data}", "--zone", "us-east-1b"], "--zone does not go with"),
        (["--file", "x", "--to", ".", "--in-place"], "--in-place does not go with --file"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_done(
    restored: Restored, words: list[str], sentence: str
) -> None:
    given = [word.format(data=restored.data) for word in words]

    with pytest.raises(CommandError, match=sentence):
        told("restore", str(restored.run.pk), *given)

    assert not Recovery.objects.exists()


def test_a_recovery_that_does_not_exist_is_told(restored: Restored) -> None:
    for command in ("show_recovery", "cancel_recovery", "undo_recovery"):
        with pytest.raises(CommandError, match="There is no recovery"):
            told(command, "nothing")


def test_files_are_copied_out_of_the_volume_that_was_named(
    restored: Restored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def fetch(
        snapshot: RunSnapshot, wanted: str, to: Path, *, by: str, copy: Copy | None
    ) -> Copied:
        assert copy is None
        asked.append((snapshot.snapshot_id, wanted, to, by))
        return Copied(files=2, bytes=70)

    monkeypatch.setattr(fetching, "fetch", fetch)
    words = ("restore", str(restored.run.pk), "--volume", restored.data, "--file", "etc/hosts")
    with pytest.raises(CommandError, match="needs --to FOLDER"):
        told(*words)
    assert asked == []

    assert "Nothing was done" in told(*words, "--to", str(tmp_path), "--dry-run")
    assert asked == []

    assert "2 files, 70 bytes" in told(*words, "--to", str(tmp_path))

    assert asked == [
        (restored.snapshot_of(restored.data), "etc/hosts", tmp_path, "the command line")
    ]
    assert not Recovery.objects.exists()
