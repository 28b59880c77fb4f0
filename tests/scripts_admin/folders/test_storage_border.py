"""What a tenant may put into a folder, and how the server treats it."""

import os
from pathlib import Path

import pytest
from django.conf import settings

from scripts_admin.domain import names
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


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_regular_file_is_never_opened(folder: Folder, tmp_path: Path, kind: str) -> None:
    script = storage.path(folder) / "after_p.sh"
    if kind == "fifo":
        os.mkfifo(script)
    elif kind == "folder":
        script.mkdir()
    else:
        script.symlink_to("/dev/zero")

    assert storage.find(folder, Phase.AFTER, "p", None).outcome == Outcome.MISSING
    with pytest.raises(OSError, match="regular"):
        storage.copy(folder, script, tmp_path / "copy", None)


def test_a_link_inside_the_folder_is_a_script_and_one_out_of_it_is_none(
    folder: Folder, tmp_path: Path
) -> None:
    put(folder, "shared.bash")
    (storage.path(folder) / "before_p.sh").symlink_to("shared.bash")
    (tmp_path / "other").write_text(SCRIPT)
    (storage.path(folder) / "after_p.sh").symlink_to(tmp_path / "other")

    assert storage.find(folder, Phase.BEFORE, "p", None).problem == ""
    assert storage.find(folder, Phase.BEFORE, "p", None).outcome is None
    assert storage.find(folder, Phase.AFTER, "p", None).outcome == Outcome.MISSING


def test_in_roots_folder_a_link_into_a_tenants_folder_is_none(
    folder: Folder, tmp_path: Path
) -> None:
    root = Folder(name="root", owner=None)
    put(folder, "before_p.sh")
    (storage.path(root) / "before_p.sh").symlink_to("alice/before_p.sh")

    assert storage.find(root, Phase.BEFORE, "p", None).outcome == Outcome.MISSING


def test_a_name_that_nobody_can_show_is_ignored(folder: Folder) -> None:
    put(folder, "after_p.sh")
    for name in (b"after_p.\xff.sh", b"after_p.\n.sh"):
        path = os.path.join(os.fsencode(storage.path(folder)), name)  # noqa: PTH118 - bytes
        with open(path, "w") as file:  # noqa: PTH123
            file.write(SCRIPT)

    found = storage.find(folder, Phase.AFTER, "p", None)

    assert found.names == ("after_p.sh",)
    assert names.is_ignored("after_p.\udcff.sh")


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
def test_what_cannot_run_is_told_in_one_sentence(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, sentence: str
) -> None:
    monkeypatch.setattr(storage, "_closed_to", lambda *_: None)
    put(folder, "after_p.sh", text, mode)

    problem = storage.find(folder, Phase.AFTER, "p", NOBODY).problem

    assert sentence in problem
    assert problem.startswith("after_p.sh ")
    assert problem.count(". ") == 0


def test_a_folder_that_the_account_may_not_enter_is_told_before_anything_is_frozen(
    folder: Folder,
) -> None:
    put(folder, "after_p.sh")
    storage.path(folder).chmod(0o700)

    assert "may not enter" in storage.find(folder, Phase.AFTER, "p", NOBODY).problem
