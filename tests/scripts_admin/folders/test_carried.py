"""What a folder has for the instances of a policy."""

import os
from pathlib import Path

import pytest

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import Remote
from scripts_admin.folders import carried, storage
from scripts_admin.folders.carried import Carried, InFolder
from scripts_admin.models import Folder

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
SSM = Remote(by="ssm").filled()
TEXT = b"#!/bin/sh\nexit 0\n"


@pytest.fixture
def home(folder: Folder) -> Path:
    return storage.path(folder)


def _find(folder: Folder, **remotes: Remote) -> dict[tuple[str, Phase], Carried]:
    wanted = {ONE: SSM, TWO: SSM} if not remotes else {ONE: remotes["one"]}
    found = carried.find(InFolder(folder), "p", wanted)
    return {(each.instance, each.phase): each for each in found}


def test_each_instance_gets_its_own_file_or_the_one_for_all(folder: Folder, home: Path) -> None:
    (home / "before_p@all.sh").write_bytes(TEXT)
    (home / f"before_p@{ONE}.py").write_bytes(b"#!/usr/bin/env python3\n")
    (home / "after_p.sh").write_bytes(TEXT)  # for the server

    found = _find(folder)

    assert found[ONE, Phase.BEFORE].script == f"before_p@{ONE}.py"
    assert found[TWO, Phase.BEFORE].content == TEXT
    assert found[TWO, Phase.BEFORE].can_run
    assert found[ONE, Phase.AFTER] == Carried(Phase.AFTER, ONE, Outcome.MISSING)


def test_a_file_needs_no_x_permission_as_its_interpreter_is_called(
    folder: Folder, home: Path
) -> None:
    (home / "before_p@all.sh").write_bytes(TEXT)
    (home / "before_p@all.sh").chmod(0o640)

    assert _find(folder)[ONE, Phase.BEFORE].can_run


def test_two_files_are_ambiguous_and_neither_is_carried(folder: Folder, home: Path) -> None:
    for ending in ("sh", "py"):
        (home / f"before_p@{ONE}.{ending}").write_bytes(TEXT)
    (home / "before_p@all.sh").write_bytes(TEXT)

    found = _find(folder)

    assert found[ONE, Phase.BEFORE].outcome == Outcome.AMBIGUOUS
    assert f"More than one file fits before of p on {ONE}" in found[ONE, Phase.BEFORE].problem
    assert not found[ONE, Phase.BEFORE].can_run
    assert found[TWO, Phase.BEFORE].can_run


@pytest.mark.parametrize("kind", ["link out", "dangling", "folder", "fifo", "no interpreter"])
def test_what_cannot_be_taken_is_a_problem_of_its_own_instance_and_never_missing(
    folder: Folder, home: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "outside").write_bytes(TEXT)
    own = home / f"before_p@{ONE}.sh"
    {
        "link out": lambda: own.symlink_to(tmp_path / "outside"),
        "dangling": lambda: own.symlink_to("gone"),
        "folder": own.mkdir,
        "fifo": lambda: os.mkfifo(own),
        "no interpreter": lambda: own.write_bytes(b"true\n"),
    }[kind]()
    (home / "before_p@all.sh").write_bytes(TEXT)

    found = _find(folder)

    assert found[ONE, Phase.BEFORE].outcome is None
    assert own.name in found[ONE, Phase.BEFORE].problem
    assert not found[ONE, Phase.BEFORE].can_run
    assert found[TWO, Phase.BEFORE].can_run


def test_a_folder_that_cannot_be_listed_is_a_problem_of_every_phase(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Folder) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage, "listed", refuse)

    found = _find(folder).values()

    assert all("cannot be read by the server" in each.problem for each in found)
    assert not any(each.can_run or each.outcome for each in found)


def test_a_path_on_the_instance_hides_the_files(folder: Folder, home: Path) -> None:
    (home / "before_p@all.sh").write_bytes(b"no script")
    (home / "after_p@all.sh").write_bytes(TEXT)

    found = _find(folder, one=Remote(by="ssm", before="/opt/freeze"))

    before, after = found[ONE, Phase.BEFORE], found[ONE, Phase.AFTER]
    assert (before.script, before.is_file, before.sha256) == ("/opt/freeze", False, "")
    assert before.content == b'#!/bin/sh\nexec /opt/freeze "$@"\n'
    assert (after.script, after.is_file) == ("after_p@all.sh", True)


def test_a_name_that_cannot_be_shown_is_told_in_letters_that_can(
    folder: Folder, home: Path
) -> None:
    (home / "before_p@all.\x1b[31m").write_bytes(TEXT)

    found = _find(folder)[ONE, Phase.BEFORE]

    assert not found.can_run
    assert found.problem.isprintable()
