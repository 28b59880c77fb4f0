"""The spool: everything needed to thaw a run when everything else is gone."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import spool
from scripts_admin.guard.on_instances import OnInstance
from scripts_admin.guard.spool import Record, RunAs, ScriptCommand, UnreadableRecordError

RECORD = Record(
    run="run",
    boot="boot",
    folder="/scripts/alice",
    environment={"PATH": "/bin"},
    max_freeze_seconds=60.0,
    thaw_retry_seconds=3600.0,
    before=ScriptCommand(Phase.BEFORE, ("/scripts/alice/before_p.sh",), 30.0),
    after=ScriptCommand(Phase.AFTER, ("/scripts/alice/after_p.sh", "/spool/run/after"), 20.0),
    not_run={Phase.COMPLETE: Outcome.MISSING},
    identity=RunAs("alice", 1001, 1001, (1001, 27)),
    collect_output=False,
    masks="sealed",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return spool.create(tmp_path / "spool", "run")


def test_a_record_is_read_as_it_was_written(folder: Path) -> None:
    spool.write(folder, RECORD)

    assert spool.read(folder) == RECORD
    assert spool.read(folder).command(Phase.AFTER) == RECORD.after
    assert spool.read(folder).command(Phase.COMPLETE) is None


def test_a_record_is_on_disk_before_it_has_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace_ = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        done.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        done.append(f"rename {self.name} {target.name}")
        return replace_(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    spool.write(folder, RECORD)

    assert done == [
        "fsync .record.json",
        "rename .record.json record.json",
        "fsync run",
        "fsync spool",
    ]


def test_a_record_is_for_nobody_elses_eyes(folder: Path) -> None:
    spool.write(folder, RECORD)

    assert (folder / spool.RECORD).stat().st_mode & 0o777 == 0o600


def test_where_nothing_was_spooled_nothing_is_read(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spool.read(folder)


def test_of_another_versions_record_is_taken_what_is_known_here_but_no_output(
    folder: Path,
) -> None:
    raw = asdict(replace(RECORD, format=spool.FORMAT + 1, collect_output=True))
    raw["after"]["nice"] = raw["identity"]["label"] = raw["colour"] = "unknown here"
    (folder / spool.RECORD).write_text(json.dumps(raw))

    read = spool.read(folder)

    assert read.is_foreign
    assert (read.after, read.identity) == (RECORD.after, RECORD.identity)
    assert (read.collect_output, read.masks) == (False, "")
    assert not RECORD.is_foreign


@pytest.mark.parametrize("missing", ["after", "identity", "environment", "folder", "before"])
@pytest.mark.parametrize("number", [spool.FORMAT, spool.FORMAT + 1])
def test_a_record_that_does_not_name_what_a_thaw_needs_is_not_guessed_at(
    folder: Path, missing: str, number: int
) -> None:
    raw = asdict(replace(RECORD, format=number))
    del raw[missing]
    (folder / spool.RECORD).write_text(json.dumps(raw))

    with pytest.raises(
        UnreadableRecordError, match=rf"record.json \(format {number}, this .*'{missing}'"
    ):
        spool.read(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\udce4"])
def test_a_record_that_is_broken_is_told_from_one_that_is_missing(folder: Path, text: str) -> None:
    (folder / spool.RECORD).write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(UnreadableRecordError, match=r"record.json .* does not tell how"):
        spool.read(folder)


def test_a_settled_record_serves_complete_and_no_thaw(folder: Path) -> None:
    spool.write(folder, RECORD)

    spool.settle(folder)
    spool.settle(folder)

    with pytest.raises(FileNotFoundError):
        spool.read(folder)
    assert spool.read_any(folder) == RECORD


def test_the_outcome_of_a_before_that_is_not_there(folder: Path) -> None:
    assert RECORD.before_outcome == Outcome.MISSING
    assert (
        replace(RECORD, not_run={Phase.BEFORE: Outcome.CRASHED}).before_outcome == Outcome.CRASHED
    )


def test_a_lock_is_held_once_and_freed_when_it_is_closed(folder: Path) -> None:
    held = spool.try_lock(folder)
    assert held is not None

    assert spool.try_lock(folder) is None
    assert spool.is_held(folder)
    assert not spool.is_held(folder, spool.KEEPER)
    os.close(held)

    assert not spool.is_held(folder)


def test_asking_for_a_lock_leaves_it_free(folder: Path) -> None:
    assert not spool.is_held(folder)
    assert not spool.is_held(folder)


def test_a_lock_dies_with_its_holder(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from scripts_admin.guard import spool\n"
        "held = spool.try_lock(Path(sys.argv[1])); print(held is not None, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert spool.is_held(folder)
        holder.kill()
        holder.wait()

    assert not spool.is_held(folder)


def test_a_lock_is_not_inherited_by_programs(folder: Path) -> None:
    held = spool.try_lock(folder)
    assert held is not None
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        os.close(held)
        assert not spool.is_held(folder)
        child.kill()


def test_the_lock_of_a_folder_that_is_gone_is_held_by_nobody(tmp_path: Path) -> None:
    assert not spool.is_held(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        spool.try_lock(tmp_path / "gone")


def test_making_a_folder_twice_keeps_what_is_in_it_and_who_holds_it(folder: Path) -> None:
    spool.write(folder, RECORD)
    held = spool.try_lock(folder)

    assert spool.create(folder.parent, "run") == folder
    assert spool.read(folder) == RECORD
    assert spool.is_held(folder)
    assert held is not None
    os.close(held)


def test_the_runs_that_the_spool_knows_are_its_folders_with_a_lock(tmp_path: Path) -> None:
    assert list(spool.folders(tmp_path / "spool")) == []
    made = [spool.create(tmp_path / "spool", name) for name in ("b", "a")]
    (tmp_path / "spool" / "other").mkdir()
    (tmp_path / "spool" / "file").touch()

    assert list(spool.folders(tmp_path / "spool")) == sorted(made)
    spool.remove(*made, tmp_path / "gone")
    assert list(spool.folders(tmp_path / "spool")) == []


def test_nothing_secret_stands_in_the_record_in_the_clear(folder: Path) -> None:
    spool.write(folder, RECORD)

    assert json.loads((folder / spool.RECORD).read_text())["masks"] == "sealed"


@pytest.mark.parametrize(
    "changed",
    [
        {"not_run": None},
        {"not_run": ["complete"]},
        {"not_run": 7},
        {"not_run": {"complete": 7, "verify": "not yet known"}},
        {"after": {"phase": "after@all", "paths": ["/a"], "timeout_seconds": 3}},
        {"after": {"phase": None, "paths": ["/a"], "timeout_seconds": 3}},
        {"before": {"phase": "Before", "paths": ["/a"], "timeout_seconds": 3}},
        {"complete": {"phase": "verify", "paths": ["/a"], "timeout_seconds": 3}},
    ],
    ids=str,
)
def test_words_that_are_unknown_here_do_not_keep_a_record_from_being_thawed(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    folder = spool.create(tmp_path, "run")
    spool.write(folder, RECORD)
    raw = json.loads((folder / spool.RECORD).read_text())
    (folder / spool.RECORD).write_text(json.dumps(raw | changed))

    found = spool.read(folder)

    assert found.after is not None
    assert found.after.phase is Phase.AFTER
    assert found.outcome_of(Phase.COMPLETE, Outcome.MISSING) in Outcome


def test_a_folder_that_is_removed_while_its_keeper_lock_is_awaited_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []
    take = spool.try_lock

    def remove_first(folder: Path, name: str = spool.LOCK) -> int | None:
        held = take(folder, name)
        tried.append(folder)
        if len(tried) == 1:
            spool.remove(folder)
        return held

    with monkeypatch.context() as patch:
        patch.setattr(spool, "try_lock", remove_first)
        folder, held = spool.keep(tmp_path, "run")

    assert len(tried) == 2
    assert held is not None
    assert spool.is_held(folder, spool.KEEPER)
    assert spool.keep(tmp_path, "run") == (folder, None)
    os.close(held)


def test_a_record_with_scripts_on_instances_has_the_newer_format_and_is_read_whole(
    folder: Path,
) -> None:
    there = OnInstance(
        "i-1", "ssh", "nonce", "/dev/shm/n2w", "its boot", "b.sh", "a.sh", 30.0, 20.0
    )
    record = replace(RECORD, instances=(there, OnInstance("i-2", "ssh", armed=False)))

    spool.write(folder, record)

    read = spool.read(folder)
    assert (read.format, read.is_foreign) == (spool.FORMAT, False)
    assert read.instances == record.instances


def test_a_record_without_them_keeps_the_format_that_older_versions_know(folder: Path) -> None:
    spool.write(folder, RECORD)

    assert json.loads((folder / spool.RECORD).read_text())["format"] == spool.LOCAL == 1
