"""A run's scripts, their names and rules, before anything is frozen."""

import contextlib
import errno
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError, IntegrityError, transaction
from pytest_django import Settings

from policies.domain.runs.sequence import State
from policies.models import Policy, WindowLease
from scripts_admin.domain.phases import Phase
from scripts_admin.folders import storage
from scripts_admin.folders.storage import Found
from scripts_admin.guard import spool
from scripts_admin.models import Folder
from tests import factories
from tests.policies.services.backup import Backup, is_one_sentence, outcomes, story


def _not_executable(backup: Backup, phase: str) -> str:
    backup.script(phase, "echo never >> marks").chmod(0o644)
    return "is not executable for"


def _no_interpreter_line(backup: Backup, phase: str) -> str:
    backup.script(phase, "").write_text("echo never >> marks\n")
    return "has no interpreter line"


def _no_interpreter(backup: Backup, phase: str) -> str:
    backup.script(phase, "").write_text("#!/no/such/shell\n")
    return "names the interpreter /no/such/shell, which is not installed"


def _a_terminals_interpreter(backup: Backup, phase: str) -> str:
    backup.script(phase, "").write_text("#!/bin/\x1b[2J\u202e\n")
    return r"names the interpreter /bin/\\x1b\[2J\\u202e, which is not installed"


def _windows_line_ends(backup: Backup, phase: str) -> str:
    backup.script(phase, "").write_bytes(b"#!/bin/bash\r\necho never >> marks\r\n")
    return r"has Windows line ends \(CRLF\)"


def _ambiguous(backup: Backup, phase: str) -> str:
    other = backup.folder / f"{phase}_policy1.py"
    other.write_text("#!/bin/bash\n")
    other.chmod(0o755)
    return f"{phase}_policy1.py, {phase}_policy1.sh"


def _link_out(backup: Backup, phase: str) -> str:
    outside = backup.folder.parent / "outside.sh"
    outside.write_text("#!/bin/bash\necho never >> marks\n")
    outside.chmod(0o755)
    _replace(backup, phase).symlink_to(outside)
    return "is a link that leads out of its folder"


def _dangling(backup: Backup, phase: str) -> str:
    _replace(backup, phase).symlink_to("nothing")
    return "is a link to a file that does not exist"


def _loop(backup: Backup, phase: str) -> str:
    path = _replace(backup, phase)
    path.symlink_to("other")
    (backup.folder / "other").symlink_to(path.name)
    return "is a link that leads back to itself"


def _fifo(backup: Backup, phase: str) -> str:
    os.mkfifo(_replace(backup, phase))
    return "is a named pipe and not a regular file"


def _folder(backup: Backup, phase: str) -> str:
    _replace(backup, phase).mkdir()
    return "is a folder and not a regular file"


def _socket(backup: Backup, phase: str) -> str:
    path = _replace(backup, phase)
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)  # a path has 107 bytes at most
    return "is a socket and not a regular file"


def _odd_name(backup: Backup, phase: str) -> str:
    path = _replace(backup, phase)
    backup.script("helper", "").rename(path.with_name(f"{phase}_policy1.\udcff\x1b"))
    return "has a name that can be neither shown nor stored"


def _odd_line(backup: Backup, phase: str) -> str:
    _replace(backup, phase).write_bytes(b"#!/bin/bash\0\necho never >> marks\n")
    (backup.folder / f"{phase}_policy1.sh").chmod(0o755)
    return "has a NUL byte in its first line"


def _replace(backup: Backup, phase: str) -> Path:
    path = backup.folder / f"{phase}_policy1.sh"
    path.unlink()
    return path


_SPOILT = [
    *(_not_executable, _no_interpreter_line, _no_interpreter, _windows_line_ends, _ambiguous),
    *(
        _a_terminals_interpreter,
        _link_out,
        _dangling,
        _loop,
        _fifo,
        _folder,
        _socket,
        _odd_name,
        _odd_line,
    ),
]


@pytest.mark.parametrize("spoil", _SPOILT)
def test_an_after_that_cannot_run_keeps_before_from_running(
    backup: Backup, spoil: Callable[[Backup, str], str]
) -> None:
    backup.scripts()
    sentence = spoil(backup, "after")

    run = backup.to_end()

    assert backup.marks == ["complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    found = outcomes(run)
    assert found["before"] == "not_run"
    assert found["after"] == ("ambiguous" if spoil is _ambiguous else "crashed")
    problems = [line for line in story(run) if re.search(sentence, line)]
    assert len(problems) == 1
    assert is_one_sentence(problems[0])
    assert re.search(sentence, run.reason)
    assert "before is not run, because after could not thaw" in run.reason


@pytest.mark.parametrize("spoil", _SPOILT)
def test_a_before_that_cannot_be_taken_is_never_missing(
    backup: Backup, spoil: Callable[[Backup, str], str]
) -> None:
    backup.scripts()
    sentence = spoil(backup, "before")

    run = backup.to_end()

    assert backup.marks == ["after 0", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert outcomes(run)["before"] in ("crashed", "ambiguous")
    assert re.search(sentence, run.reason)


@pytest.mark.parametrize("spoil", _SPOILT)
def test_a_complete_that_cannot_be_taken_is_told_and_spoils_no_window(
    backup: Backup, spoil: Callable[[Backup, str], str]
) -> None:
    backup.scripts()
    sentence = spoil(backup, "complete")

    run = backup.to_end()

    assert backup.marks == ["before", "after 1"]
    assert (run.state, run.consistency) == (State.PARTIAL, "application")
    assert outcomes(run)["complete"] in ("crashed", "ambiguous")
    assert re.search(sentence, run.reason)


def test_a_folder_that_cannot_be_read_freezes_nothing_and_is_told_once(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: object) -> list[str]:
        raise OSError(errno.EIO, "Input/output error")

    backup.scripts()
    monkeypatch.setattr(os, "listdir", unreadable)

    run = backup.to_end()

    assert backup.marks == []
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert run.reason.count("cannot be read by the server (Input/output error)") == 3


def test_a_folder_is_closed_to_others_before_its_scripts_are_used(backup: Backup) -> None:
    backup.scripts()
    backup.folder.chmod(0o777)

    assert backup.to_end().state == State.SUCCEEDED

    assert backup.folder.stat().st_mode & 0o7777 == 0o700


def test_a_folder_that_cannot_be_closed_to_others_runs_no_script(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    backup.scripts()
    backup.folder.chmod(0o777)
    monkeypatch.setattr(os, "fchmod", denied)

    run = backup.to_end()

    assert backup.marks == []
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert run.reason.count("could not be closed to others (Operation not permitted)") == 1


def test_something_unforeseen_in_one_phase_concerns_this_phase_alone(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = storage.find

    def explode(folder: Folder, phase: Phase, *more: Any, **named: Any) -> Found:
        if phase == Phase.COMPLETE:
            raise ZeroDivisionError
        return looked(folder, phase, *more, **named)

    backup.scripts()
    monkeypatch.setattr(storage, "find", explode)

    run = backup.to_end()

    assert backup.marks == ["before", "after 1"]
    assert run.state == State.PARTIAL
    assert "The script of complete could not be looked at (ZeroDivisionError)" in run.reason


def test_a_before_that_cannot_run_still_gives_crash_consistent_snapshots(backup: Backup) -> None:
    backup.scripts()
    _not_executable(backup, "before")

    run = backup.to_end()

    assert backup.marks == ["after 0", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert outcomes(run)["before"] == "crashed"


def test_scripts_that_are_switched_off_are_missing(backup: Backup) -> None:
    backup.scripts()
    Policy.objects.update(scripts_enabled=False)

    run = backup.to_end()

    assert backup.marks == []
    assert (run.state, run.consistency) == (State.SUCCEEDED, "crash")
    assert set(outcomes(run).values()) == {"missing"}


def test_scripts_of_a_folder_that_the_owner_may_not_use_are_not_run(backup: Backup) -> None:
    backup.scripts()
    charlie = factories.charlie()
    Policy.objects.update(owner=charlie)

    run = backup.to_end()

    assert backup.marks == []
    assert run.state == State.PARTIAL
    assert "charlie is not allowed to use the script folder alice: no script is run." in story(run)


def test_a_linux_account_that_is_not_there_starts_no_script(
    backup: Backup, settings: Settings
) -> None:
    backup.scripts()
    settings.N2W_RUN_SCRIPTS_AS = "owner"

    run = backup.to_end()

    assert backup.marks == []
    assert run.state == State.PARTIAL
    assert any("The Linux account alice does not exist" in line for line in story(run))


def test_an_after_that_vanishes_before_the_window_keeps_before_from_running(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    monkeypatch.setattr(
        backup.cloud, "warm", lambda *_: (backup.folder / "after_policy1.sh").unlink()
    )

    run = backup.to_end()

    assert backup.marks == ["complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "after_policy1.sh could not be copied (No such file or directory)" in run.reason


def test_a_record_that_cannot_be_written_freezes_nothing_and_leaves_no_lock(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    backup.scripts()
    monkeypatch.setattr(spool, "write", full)

    run = backup.window()

    assert run.state == State.COMPLETING
    assert "The guard of the window could not be started" in run.reason
    assert backup.marks == []
    assert not spool.is_held(backup.spooled(run))


def test_something_unforeseen_while_preparing_ends_the_run_with_a_sentence(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(backup.cloud, "warm", explode)

    run = backup.complete(backup.window())

    assert run.state == State.FAILED
    assert run.reason.startswith("The run could not be prepared (ZeroDivisionError)")
    assert not WindowLease.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"name": "my.policy"},
        {"name": ""},
        {"name": "x" * 65},
        {"before_timeout_seconds": 51},
    ],
)
def test_the_database_refuses_a_policy_that_cannot_be(
    backup: Backup, values: dict[str, object]
) -> None:
    # For the longest name, PostgreSQL says that it does not fit, SQLite that no policy has it.
    with pytest.raises((IntegrityError, DataError)), transaction.atomic():
        factories.PolicyFactory.create(owner=backup.policy.owner, **values)

    assert Policy.objects.count() == 1


def test_the_name_of_a_policy_is_its_folders_own_in_any_case(backup: Backup) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.PolicyFactory.create(owner=backup.policy.owner, name="POLICY1")
