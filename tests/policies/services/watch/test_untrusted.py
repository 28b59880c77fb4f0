"""A stranger's entry in the spool concerns only its run, and a home of a stranger's opens no window."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_django import Settings

from n2wbackup.lib import clock, home, memory
from policies.domain.runs.sequence import State
from policies.models import Alarm, Policy, Run, RunTarget
from policies.services.alarms import sealed_urls
from policies.services.following import completing
from policies.services.watch import abandoned
from policies.services.window import keeping
from scripts_admin.guard import spool
from scripts_admin.guard.keeper import Guard
from tests import factories
from tests.ground import strangers
from tests.policies.services.backup import Backup, is_one_sentence, outcomes, state, story
from tests.policies.services.losses import dying, kill_guard_and_die
from tests.scripts_admin.guard.stage import until


def left_frozen(backup: Backup) -> Run:
    """Leave a run frozen that no process keeps."""
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    return run


def neighbour(backup: Backup) -> tuple[Run, Path]:
    """Leave another run frozen, whose folder comes first; return it with its folder."""
    run = factories.RunFactory.create(
        pk="00000000-0000-4000-8000-000000000000",
        policy=factories.PolicyFactory.create(name="other", owner=backup.policy.owner),
        state=State.FROZEN,
        server=home.server_id(),
        ordered_at=clock.now(),
    )
    factories.RunTargetFactory.create(run=run, state=RunTarget.State.PLANNED)
    folder = spool.create(home.spool(), str(run.pk))
    (folder / spool.RECORD).write_text("{}")
    return run, folder


def _gets_record(folder: Path) -> str:
    strangers.gets(folder / spool.RECORD)
    return f"{folder / spool.RECORD} belongs to nobody, and the server runs as root"


def _gets_folder(folder: Path) -> str:
    strangers.gets(folder)
    return f"{folder} belongs to nobody, and the server runs as root"


def _fifo_record(folder: Path) -> str:
    (folder / spool.RECORD).unlink()
    os.mkfifo(folder / spool.RECORD)
    return f"{folder / spool.RECORD} is a FIFO, not a file"


def _link_record(folder: Path) -> str:
    (folder / spool.RECORD).rename(folder / "moved")
    (folder / spool.RECORD).symlink_to("moved")
    return f"{folder / spool.RECORD} is a link, not a file"


def _dangling_record(folder: Path) -> str:
    (folder / spool.RECORD).unlink()
    (folder / spool.RECORD).symlink_to("nowhere")
    return f"{folder / spool.RECORD} is a link, not a file"


def _link_folder(folder: Path) -> str:
    folder.rename(home.run() / folder.name)
    folder.symlink_to(home.run() / folder.name)
    return f"{folder} is a link, not a folder"


def _fifo_lock(folder: Path) -> str:
    (folder / spool.LOCK).unlink()
    os.mkfifo(folder / spool.LOCK)
    return f"{folder / spool.LOCK} is a FIFO, not a file"


def _gets_keeper(folder: Path) -> str:
    strangers.gets(folder / spool.KEEPER)
    return f"{folder / spool.KEEPER} belongs to nobody, and the server runs as root"


@pytest.mark.parametrize(
    "spoil",
    [
        _gets_record,
        _gets_folder,
        _fifo_record,
        _link_record,
        _dangling_record,
        _link_folder,
        _fifo_lock,
        _gets_keeper,
    ],
)
def test_a_strangers_entry_is_told_and_keeps_no_other_run_frozen(
    backup: Backup, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], str]
) -> None:
    run = left_frozen(backup)
    other, folder = neighbour(backup)
    fact = spoil(folder)

    with caplog.at_level(logging.ERROR):
        backup.thaw(run)

    assert (run.state, backup.marks) == (State.WAITING, ["before", "after 1"])
    other.refresh_from_db()
    assert other.state == State.WAITING
    sentence = f"The server cannot thaw the run, because {fact}: thaw by hand and confirm it."
    assert sentence in story(other)
    assert Policy.objects.get(name="other").may_be_frozen_since is not None
    assert Alarm.objects.filter(run=other).exists()


def test_an_entry_without_a_row_keeps_nothing_frozen_and_is_not_removed(backup: Backup) -> None:
    run = left_frozen(backup)
    for name in ("0-file", "0-folder"):
        spool.create(home.spool(), name)
    (home.spool() / "0-folder" / spool.RECORD).mkdir()
    strangers.gets(home.spool() / "0-file")
    (home.spool() / "0-loop").symlink_to("0-loop")

    backup.thaw(run)

    assert (run.state, backup.marks) == (State.WAITING, ["before", "after 1"])
    assert (home.spool() / "0-folder" / spool.RECORD).is_dir()


def _open_home() -> str:
    home.spool().parent.chmod(0o777)
    return f"{home.spool().parent} can be written to by other accounts (mode 0777)"


def _spool_of_a_stranger() -> str:
    strangers.gets(home.spool())
    return f"{home.spool()} belongs to nobody, and the server runs as root"


@pytest.mark.parametrize("spoil", [_open_home, _spool_of_a_stranger])
def test_in_a_home_that_others_can_change_nothing_is_frozen_and_the_run_ends(
    backup: Backup, spoil: Callable[[], str]
) -> None:
    backup.scripts()
    run = backup.start()
    fact = spoil()

    ended = backup.complete(backup.window(run))

    assert ended.state == State.FAILED
    assert backup.marks == []
    assert ended.reason.startswith(f"Nothing was frozen or backed up, because {fact}: look at")
    assert is_one_sentence(ended.reason.partition(";")[0])
    assert list(home.spool().iterdir()) == []


def test_what_is_frozen_is_thawed_though_the_home_is_open_to_all_and_complete_is_not_run(
    backup: Backup,
) -> None:
    run = left_frozen(backup)
    _open_home()

    backup.thaw(run)
    assert (run.state, backup.marks) == (State.WAITING, ["before", "after 1"])
    backup.cloud.advance()
    backup.settle(run)
    completing.execute(run.pk)

    assert state(run) == State.PARTIAL
    assert backup.marks == ["before", "after 1"]
    assert outcomes(run)["complete"] == "interrupted"
    assert any("complete is not run, because" in line for line in story(run))


def test_in_a_home_that_others_can_change_nobodys_note_ends_a_thaw(backup: Backup) -> None:
    run = left_frozen(backup)
    _open_home()
    note = home.spool().parent / "confirmed" / str(run.pk)
    note.parent.mkdir()
    note.touch()
    for path in (note.parent, note):
        strangers.gets(path)

    backup.thaw(run)

    assert backup.marks == ["before", "after 1"]


def test_a_scripts_root_that_others_can_change_runs_no_script(
    backup: Backup, settings: Settings
) -> None:
    backup.scripts()
    root = Path(settings.N2W_SCRIPTS_ROOT)
    run = backup.start()
    strangers.gets(root)
    try:
        problem = f"No script is run, because {root} belongs to nobody, and the server runs as root"
        ended = backup.complete(backup.window(run))
    finally:
        os.chown(root, 0, 0)

    assert backup.marks == []
    assert ended.state == State.FAILED
    assert problem.removeprefix("No script is run, because ") in ended.reason


def _full(*_: object) -> Path:
    raise memory.RuntimeFolderError("The folder cannot be created (No space left on device).")


def test_where_memory_has_no_place_for_a_journal_a_thaw_goes_on(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = left_frozen(backup)
    monkeypatch.setattr(memory, "folder", _full)

    thawer = abandoned.Thawer(home.spool(), home.runtime_to_thaw())
    thawer.turn()
    until(thawer.reap)
    until(lambda: not spool.is_held(backup.spooled(run)))
    abandoned.enter_all()

    assert backup.marks == ["before", "after 0"]  # the journal counts as lost
    assert state(run) == State.THAWING  # and so after runs once more later


def test_where_memory_has_no_place_for_a_journal_no_window_opens(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    monkeypatch.setattr(memory, "folder", _full)

    run = backup.window()

    assert backup.marks == []
    assert run.reason == (
        "The guard of the window could not be started (The folder cannot be created (No space left on device)): "
        "nothing was frozen."
    )


def test_one_pass_tells_its_counts_though_the_results_cannot_be_entered(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left_frozen(backup)
    _, folder = neighbour(backup)
    strangers.gets(folder)

    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(abandoned, "enter_all", away)
    with pytest.raises(CommandError) as told:
        call_command("thaw_abandoned", json=True)

    assert json.loads(capsys.readouterr().out) == {
        "looked_at": 2,
        "still_open": 2,
        "not_trusted": 1,
        "messages": 0,
    }
    said = str(told.value)
    assert said.startswith(
        "The windows were looked after, but the results could not be entered: The "
    )
    assert "cannot be reached (connection refused): start it, or correct DATABASE_URL." in said
    assert said.endswith(" Run this again when the database is back.")
    assert backup.marks == ["before", "after 1"]


@pytest.mark.parametrize("name", ["thaw_abandoned", "recover"])
def test_another_account_is_told_who_can_thaw(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    left_frozen(backup)
    monkeypatch.setattr(os, "geteuid", lambda: strangers.UID)

    with pytest.raises(CommandError) as told:
        call_command(name)

    assert str(told.value) == (
        f"{home.spool().parent} belongs to root, and this command runs as nobody, which cannot thaw: "
        "run it as root."
    )
    assert backup.marks == ["before"]


def test_urls_that_somebody_else_put_beside_a_record_are_nobodys(backup: Backup) -> None:
    folder = spool.create(home.spool(), "run")
    os.mkfifo(folder / sealed_urls.NAME)

    assert sealed_urls.read(folder) == []
