"""A run keeps the hash of what really ran, and tells where it cannot know it."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import OuterRef

from n2wbackup.lib import clock
from policies.models import PhaseResult, Run
from policies.services.window import permits
from scripts_admin.folders import storage
from scripts_admin.guard import thaw
from scripts_admin.guard.keeper import Guard
from scripts_admin.models import ScriptVersion
from scripts_admin.services import versions
from tests.policies.services.backup import Backup

Doubt = PhaseResult.Doubt


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a policy be backed up twice, and after be tried again, at once."""
    monkeypatch.setattr(permits, "VOLUME_PAUSE", timedelta())
    monkeypatch.setattr(thaw, "RETRY_SECONDS", (0,))


def result(run: Run, phase: str, attempt: int = 1) -> PhaseResult:
    return run.phases.select_related("script_version").get(phase=phase, attempt=attempt)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def script(backup: Backup, phase: str) -> Path:
    return backup.folder / f"{phase}_{backup.policy.name}.sh"


def at_go(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    """Do something when everything is prepared, right before the window opens."""
    real = Guard.go

    def go(guard: Guard) -> None:
        act()  # type: ignore[operator]
        real(guard)

    monkeypatch.setattr(Guard, "go", go)


def test_a_run_keeps_the_text_of_each_script(backup: Backup) -> None:
    backup.scripts()

    run = backup.to_end()

    for phase in ("before", "after", "complete"):
        found, path = result(run, phase), script(backup, phase)
        assert (found.script_sha256, found.script_doubt) == (sha256(path), "")
        assert found.script_version is not None
        assert versions.content(found.script_version) == path.read_bytes()


def test_a_second_run_of_the_same_scripts_keeps_nothing_new(backup: Backup) -> None:
    backup.scripts()
    first, second = backup.to_end(), backup.to_end()

    assert ScriptVersion.objects.count() == 3
    assert result(first, "before").script_version == result(second, "before").script_version


def test_a_change_over_ssh_between_two_runs_is_a_version_of_its_own(backup: Backup) -> None:
    backup.scripts()
    backup.to_end()
    backup.script("before", "true")

    run = backup.to_end()

    found = result(run, "before")
    assert found.script_sha256 == sha256(script(backup, "before"))
    assert [each.source for each in versions.history(backup.policy.folder, found.script)] == [
        "ssh",
        "ssh",
    ]


def test_a_script_that_was_changed_after_the_preparation_is_shown_as_it_ran(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    at_go(monkeypatch, lambda: backup.script("before", 'echo "another" >> marks'))

    run = backup.window()

    assert backup.marks[0] == "another"
    found = result(run, "before")
    assert (found.script_sha256, found.script_doubt) == (sha256(script(backup, "before")), "")
    assert found.script_version is not None
    assert b"another" in (versions.content(found.script_version) or b"")


def test_a_script_that_was_changed_twice_is_not_claimed_to_be_known(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    prepared = sha256(script(backup, "before"))
    at_go(
        monkeypatch,
        lambda: backup.script("before", 'cp "$0" new\necho "# more" >> new\nmv new "$0"'),
    )

    run = backup.window()

    found = result(run, "before")
    assert (found.script_sha256, found.script_doubt) == (prepared, Doubt.CHANGED)


def test_where_the_file_has_vanished_the_copy_ran(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    prepared = sha256(script(backup, "after"))
    at_go(monkeypatch, script(backup, "after").unlink)

    run = backup.window()

    found = result(run, "after")
    assert (found.outcome, found.script_sha256, found.script_doubt) == ("succeeded", prepared, "")


def test_touching_a_file_or_changing_its_mode_changes_no_text(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    at_go(monkeypatch, lambda: script(backup, "before").chmod(0o700))

    run = backup.window()

    found = result(run, "before")
    assert (found.script_sha256, found.script_doubt) == (sha256(script(backup, "before")), "")


def test_each_attempt_of_after_keeps_the_text_that_it_ran(backup: Backup) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    first = sha256(script(backup, "after"))
    backup.script("after", "true")

    run = backup.thaw(run)

    assert result(run, "after").script_sha256 == first
    last = run.phases.filter(phase="after").order_by("-attempt")[0]
    assert last.outcome == "succeeded"
    assert (last.script_sha256, last.script_doubt) == (sha256(script(backup, "after")), "")


def test_a_timeout_tells_the_text_all_the_same(backup: Backup) -> None:
    type(backup.policy).objects.filter(pk=backup.policy.pk).update(before_timeout_seconds=1)
    backup.scripts(before="sleep 60")

    run = backup.window()

    found = result(run, "before")
    assert (found.outcome, found.script_doubt) == ("timed_out", "")
    assert found.script_sha256 == sha256(script(backup, "before"))


def test_a_guard_that_was_lost_could_not_tell(backup: Backup) -> None:
    backup.scripts(before="kill -9 $PPID\nsleep 60")
    prepared = sha256(script(backup, "before"))

    run = backup.window()

    found = result(run, "before")
    assert (found.script_sha256, found.script_doubt) == (prepared, Doubt.LOST)


def test_a_key_or_a_program_is_kept_by_its_hash_alone(backup: Backup) -> None:
    backup.scripts()
    path = script(backup, "before")
    path.write_bytes(path.read_bytes() + b"exit 0\n\0\1\2")

    run = backup.to_end()

    found = result(run, "before")
    assert found.script_sha256 == sha256(path)
    assert found.script_version is not None
    assert versions.content(found.script_version) is None


def test_a_script_that_never_holds_still_is_not_run(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    monkeypatch.setattr(storage, "copy", lambda *_: "0" * 64)

    run = backup.to_end()

    assert backup.marks == []
    assert "being changed all the time" in run.reason


def test_versions_that_have_gone_keep_no_run_from_its_end(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    at_go(monkeypatch, lambda: ScriptVersion.objects.all().delete())

    run = backup.window()

    found = result(run, "after")
    assert (found.script_sha256, found.script_version) == (sha256(script(backup, "after")), None)


def test_what_a_kept_run_ran_is_never_forgotten(backup: Backup) -> None:
    backup.scripts()
    run = backup.to_end()
    backup.script("before", "true")
    versions.look(backup.policy.folder)
    backup.script("before", "false")
    versions.look(backup.policy.folder)

    using = PhaseResult.objects.filter(script_version=OuterRef("pk"))
    assert versions.forget(clock.now(), using) == 1
    assert result(run, "before").script_version is not None
