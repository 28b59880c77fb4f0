"""What a tenant may put into a folder, and how the server treats it."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.conf import settings

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.folders import storage
from scripts_admin.guard.spool import RunAs
from scripts_admin.models import Folder

SCRIPT = "#!/bin/bash\ntrue\n"
NOBODY = RunAs("nobody", 65534, 65534, (65534,))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(settings, "N2W_SCRIPTS_ROOT", tmp_path / "scripts")
    made = Folder(name="alice", owner_id=1)
    storage.create(made)
    return made


@pytest.fixture
def everybody(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Move the folder to where every account may enter; pytest's own are closed."""
    with TemporaryDirectory(prefix="n2wbackup-folders-") as root:
        Path(root).chmod(0o755)
        monkeypatch.setattr(settings, "N2W_SCRIPTS_ROOT", Path(root))
        storage.create(folder)
        storage.path(folder).chmod(0o755)
        yield


def put(folder: Folder, name: str, text: str = SCRIPT, mode: int = 0o755) -> Path:
    path = storage.path(folder) / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_script_swapped_for_a_link_out_of_its_folder_is_not_copied(
    folder: Folder, tmp_path: Path
) -> None:
    script, copy = put(folder, "after_p.sh"), tmp_path / "copy"
    assert storage.find(folder, Phase.AFTER, "p", None).problem == ""
    (tmp_path / "secret").write_text("secret")
    script.unlink()
    script.symlink_to(tmp_path / "secret")

    with pytest.raises(PermissionError):
        storage.copy(folder, script, copy, None)

    assert not copy.exists()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("fifo", "is a named pipe and not a regular file"),
        ("folder", "is a folder and not a regular file"),
        ("device", "is a link that leads out of its folder"),
        ("node", "is a device and not a regular file"),
        ("giant", "larger than 64 MiB"),
    ],
)
def test_what_is_no_regular_file_is_a_problem_and_never_opened(
    folder: Folder, tmp_path: Path, kind: str, sentence: str
) -> None:
    script = storage.path(folder) / "after_p.sh"
    if kind == "fifo":
        os.mkfifo(script)
    elif kind == "folder":
        script.mkdir()
    elif kind == "giant":
        script.touch(0o755)
        os.truncate(script, storage.MAX_BYTES + 1)
    elif kind == "node":
        if os.geteuid() != 0:
            pytest.skip("only root can make a device")
        os.mknod(script, stat.S_IFCHR | 0o755, os.makedev(1, 5))
    else:
        script.symlink_to("/dev/zero")

    found = storage.find(folder, Phase.AFTER, "p", None)
    assert found.outcome is None
    assert found.names == ("after_p.sh",)
    assert sentence in found.problem
    with pytest.raises(PermissionError):
        storage.copy(folder, script, tmp_path / "copy", None)


def test_links_inside_the_folder_are_scripts_and_one_out_of_it_is_a_problem(
    folder: Folder, tmp_path: Path
) -> None:
    place = storage.path(folder)
    (place / "lib").mkdir(mode=0o755)
    put(folder, "lib/shared.bash")
    (place / "v2").symlink_to("lib/shared.bash")
    (tmp_path / "other").write_text(SCRIPT)
    (place / "after_p.sh").symlink_to(tmp_path / "other")
    for target in ("lib/shared.bash", "v2", "lib/../v2", f"{place}/v2", f"../{folder.name}/v2"):
        (place / "before_p.sh").unlink(missing_ok=True)
        (place / "before_p.sh").symlink_to(target)
        assert storage.find(folder, Phase.BEFORE, "p", None).outcome is None
        assert storage.find(folder, Phase.BEFORE, "p", None).problem == ""

    assert "leads out of its folder" in storage.find(folder, Phase.AFTER, "p", None).problem


def test_in_roots_folder_a_link_into_a_tenants_folder_is_a_problem(folder: Folder) -> None:
    root = Folder(name="root", owner=None)
    put(folder, "before_p.sh")
    (storage.path(root) / "before_p.sh").symlink_to("alice/before_p.sh")

    assert "leads out of its folder" in storage.find(root, Phase.BEFORE, "p", None).problem


def test_a_file_that_cannot_even_be_examined_is_a_problem(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    put(folder, "after_p.sh")
    monkeypatch.setattr(os, "open", denied)

    found = storage.find(folder, Phase.AFTER, "p", None)

    assert found.outcome is None
    assert (
        found.problem
        == "after_p.sh cannot be read by the server (Permission denied): change its permissions."
    )


def test_a_name_that_nobody_can_show_is_a_problem_in_words_that_everybody_can(
    folder: Folder,
) -> None:
    for name in (b"after_p.\xff.sh", b"before_p.\n.sh", b"complete_p.\xe2\x80\xae.sh"):
        path = os.path.join(os.fsencode(storage.path(folder)), name)  # noqa: PTH118 - bytes
        with open(path, "w") as file:  # noqa: PTH123
            file.write(SCRIPT)

    said = [storage.find(folder, phase, "p", None).problem for phase in Phase]

    why = "has a name that can be neither shown nor stored: rename it."
    assert said == [
        f"before_p.\\x0a.sh {why}",
        f"after_p.\\xff.sh {why}",
        f"complete_p.\\u202e.sh {why}",
    ]


def test_a_second_fitting_name_makes_it_ambiguous_even_if_it_can_be_no_script(
    folder: Folder,
) -> None:
    put(folder, "after_p.sh")
    (storage.path(folder) / "after_p.d").symlink_to("nothing")

    found = storage.find(folder, Phase.AFTER, "p", None)

    assert (found.outcome, found.names) == (Outcome.AMBIGUOUS, ("after_p.d", "after_p.sh"))


def test_the_entries_of_a_folder_tell_what_is_wrong_with_them(folder: Folder) -> None:
    put(folder, "after_p.sh")
    put(folder, ".hidden")
    put(folder, "after_p.sh~")
    (storage.path(folder) / "before_p.sh").symlink_to("/etc/passwd")

    found = storage.entries(folder)

    assert [(entry.name, bool(entry.problem)) for entry in found] == [
        ("after_p.sh", False),
        ("before_p.sh", True),
    ]


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        (SCRIPT, 0o711, "cannot be read by nobody"),
        (SCRIPT, 0o744, "is not executable for nobody"),
        ("true\n", 0o755, "no interpreter line"),
        ("#!/bin/bash\r\ntrue\r\n", 0o755, "Windows line ends"),
        ("#!/no/such\ntrue\n", 0o755, "which is not installed"),
        ("#!/usr/bin/env nosuchthing\n", 0o755, "nosuchthing, which is not in"),
        ("", 0o755, "no interpreter line"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as nobody")
def test_what_cannot_run_is_told_in_one_sentence(
    folder: Folder, everybody: None, text: str, mode: int, sentence: str
) -> None:
    put(folder, "after_p.sh", text, mode)

    problem = storage.find(folder, Phase.AFTER, "p", NOBODY).problem

    assert sentence in problem
    assert problem.startswith("after_p.sh ")
    assert problem.count(". ") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as nobody")
def test_a_folder_that_the_account_may_not_enter_is_told_before_anything_is_frozen(
    folder: Folder, everybody: None
) -> None:
    put(folder, "after_p.sh")
    storage.path(folder).chmod(0o700)

    problem = storage.find(folder, Phase.AFTER, "p", NOBODY).problem

    assert f"nobody may not enter {storage.path(folder)}, so" in problem
