"""What a thaw believes and executes is the server's own; a stranger's entry in the spool is neither."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.folders import storage
from scripts_admin.guard import journal, spool
from scripts_admin.guard.keeper import Guard
from scripts_admin.guard.spool import NO_ACCOUNT, Record, RunAs, UnreadableRecordError
from scripts_admin.models import Folder
from tests.ground import processes, strangers
from tests.scripts_admin.guard.stage import SECONDS, SECRET, Stage

NOBODY = RunAs("nobody", strangers.UID, strangers.GID, (strangers.GID,))


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Give the folders of a run where every account may pass."""
    with processes.folder() as place:
        made = Stage.under(place)
        made.script("after", "id -un >thawed")
        yield made


def _frozen(stage: Stage, record: Record | None = None) -> None:
    """Leave a window that was opened, and that no process keeps any more."""
    stage.spool(record)
    writer = journal.Writer(stage.runtime)
    writer.note("opened")
    writer.close()


def _given_away(path: Path) -> None:
    strangers.gets(path)


def _writable(path: Path) -> None:
    path.chmod(0o666)


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "fact"),
    [
        (_given_away, "belongs to nobody, and the server runs as root"),
        (_writable, "can be written to by other accounts (mode 0666)"),
        (_link, "is a link, not a file"),
        (_fifo, "is a FIFO, not a file"),
        (_folder, "is a folder, not a file"),
    ],
)
def test_a_record_that_somebody_else_may_have_written_is_none(
    stage: Stage, spoil: Callable[[Path], None], fact: str
) -> None:
    stage.spool()
    spoil(stage.spooled / spool.RECORD)

    with pytest.raises(UnreadableRecordError) as refused:
        spool.read(stage.spooled)

    assert str(refused.value) == f"{stage.spooled / spool.RECORD} {fact}"
    assert list(spool.open_windows(stage.spooled.parent)) == [stage.spooled]


def test_a_run_folder_of_somebody_else_has_no_record_and_no_lock(stage: Stage) -> None:
    stage.spool()
    strangers.gets(stage.spooled)

    with pytest.raises(UnreadableRecordError, match="belongs to nobody"):
        spool.read(stage.spooled)
    with pytest.raises(PermissionError, match="belongs to nobody"):
        spool.try_lock(stage.spooled)
    with pytest.raises(PermissionError, match="belongs to nobody"):
        spool.create(stage.spooled.parent, "run")


def test_a_run_folder_that_is_a_link_has_no_record_and_no_lock(stage: Stage) -> None:
    stage.spool()
    stage.spooled.rename(stage.spooled.parent / "other")
    stage.spooled.symlink_to("other")

    with pytest.raises(UnreadableRecordError, match="is a link, not a folder"):
        spool.read(stage.spooled)
    with pytest.raises(PermissionError, match="is a link, not a folder"):
        spool.try_lock(stage.spooled)


def test_the_record_of_another_run_thaws_nothing(stage: Stage) -> None:
    stage.spool()
    moved = stage.spooled.rename(stage.spooled.parent / "other")

    with pytest.raises(UnreadableRecordError, match="has the record of another run, run"):
        spool.read(moved)


@pytest.mark.parametrize("spoil", [_fifo, _link, _given_away])
def test_a_lock_that_somebody_else_may_hold_is_none(
    stage: Stage, spoil: Callable[[Path], None]
) -> None:
    stage.spool()
    spoil(stage.spooled / spool.LOCK)

    with pytest.raises(PermissionError):
        spool.try_lock(stage.spooled)


def test_what_is_ours_thaws_though_the_spool_was_open_to_all(stage: Stage) -> None:
    _frozen(stage)
    stage.spooled.parent.chmod(0o777)
    stage.spooled.chmod(0o777)

    assert stage.thaw().outcome == Outcome.SUCCEEDED


def test_a_link_elsewhere_to_our_record_keeps_nobody_from_thawing(stage: Stage) -> None:
    _frozen(stage)
    os.link(stage.spooled / spool.RECORD, stage.folder / "mine")

    assert stage.thaw().outcome == Outcome.SUCCEEDED


@pytest.mark.parametrize("spoil", [_given_away, _writable, _link, _fifo])
def test_a_journal_that_somebody_else_may_have_written_is_lost(
    stage: Stage, spoil: Callable[[Path], None]
) -> None:
    stage.script("before", "true")
    _frozen(stage, stage.record(before_seconds=0.01))
    spoil(stage.runtime / journal.NAME)

    assert journal.read_if_there(stage.runtime) is None
    assert stage.thaw().argument == "0"  # anything may be frozen
    assert journal.read(stage.runtime).afters[0].outcome == Outcome.SUCCEEDED


@pytest.mark.parametrize("identity", [None, RunAs("root", 0, 0, (0,)), NO_ACCOUNT])
def test_a_record_without_an_account_is_never_run_as_root(
    stage: Stage, identity: RunAs | None
) -> None:
    stage.spool(replace(stage.record(), identity=identity))
    lock = spool.try_lock(stage.spooled)
    assert lock is not None

    guard = Guard(stage.spooled, stage.runtime, lock, (SECRET,), (Phase.AFTER, "0", 1))
    guard.wait_until_done(SECONDS)
    guard.release()

    assert not stage.mark("thawed")
    after = stage.attempt(Phase.AFTER)
    assert after.outcome == Outcome.CRASHED
    assert after.stderr == (
        "after_p.sh could not be started: its record names no account, and scripts run as root only with "
        "N2W_RUN_SCRIPTS_AS=self: thaw by hand and confirm it.\n"
    )


def _copied(stage: Stage) -> Path:
    """Have after copied as a worker does it, and take its folder away; return the copy."""
    stage.folder.chmod(0o755)
    record = replace(stage.record(), identity=NOBODY)
    copy, folder = stage.spooled / "after", Folder(name=stage.folder.name, owner_id=1)
    copy.unlink()
    storage.copy(folder, stage.folder / "after_p.sh", copy, NOBODY)
    _frozen(stage, record)
    shutil.rmtree(stage.folder)
    return copy


@pytest.fixture
def scripts_root(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts_admin.folders.storage.path", lambda _: stage.folder)


@pytest.mark.usefixtures("scripts_root")
def test_a_copy_belongs_to_the_server_and_its_account_can_run_and_not_change_it(
    stage: Stage,
) -> None:
    stage.script("after", 'id -un; (echo >>"$0") || echo closed; chmod u+w "$0" || echo ours')
    copy = _copied(stage)

    found = copy.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, strangers.GID, 0o550)
    assert stage.thaw().stdout.split() == ["nobody", "closed", "ours"]


@pytest.mark.usefixtures("scripts_root")
def test_a_copy_of_a_former_release_belongs_to_its_account_and_still_thaws(stage: Stage) -> None:
    stage.script("after", "id -un")
    copy = _copied(stage)
    strangers.gets(copy)
    copy.chmod(0o500)

    assert stage.thaw().stdout.split() == ["nobody"]


def _rewritten(copy: Path) -> None:
    copy.chmod(0o777)
    strangers.does(lambda: copy.write_text("#!/bin/bash\necho mine\n"))


def _replaced(copy: Path) -> None:
    copy.parent.chmod(0o777)

    def replace_it() -> None:
        copy.unlink()
        copy.write_text("#!/bin/bash\necho mine\n")
        copy.chmod(0o755)

    strangers.does(replace_it)


@pytest.mark.usefixtures("scripts_root")
@pytest.mark.parametrize("spoil", [_rewritten, _replaced])
def test_a_copy_that_somebody_else_could_write_to_is_not_run(
    stage: Stage, spoil: Callable[[Path], None]
) -> None:
    stage.script("after", "id -un")
    copy = _copied(stage)
    spoil(copy)

    after = stage.thaw()

    assert (after.outcome, after.stdout) == (Outcome.CRASHED, "")
    assert "after_p.sh could not be started" in after.stderr
