"""What is written into a folder that somebody hostile owns, and what is never written, read or followed."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts_admin.folders import acl, looking, storage, writing
from scripts_admin.folders.looking import ChangedError, FileError
from scripts_admin.models import Folder
from tests.scripts_admin.folders.texts import OTHER, TEXT, VERSION, left

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
SETFACL = pytest.mark.skipif(
    not Path("/usr/bin/setfacl").exists(), reason="the package acl is not installed"
)


def test_saving_replaces_the_whole_file_and_keeps_its_mode(
    folder: Folder, place: int, script: Path
) -> None:
    before = script.stat().st_ino

    writing.put(place, "before_p.sh", OTHER, opened=VERSION)

    assert script.read_bytes() == OTHER
    assert stat.S_IMODE(script.stat().st_mode) == 0o754
    assert script.stat().st_ino != before  # whoever runs the old one runs it to its end
    assert left(folder) == ["before_p.sh"]


def test_a_new_script_can_run_and_a_new_helper_cannot_and_others_may_nothing(
    folder: Folder, place: int
) -> None:
    storage.path(folder).chmod(0o2770)

    writing.put(place, "before_p.sh", TEXT, opened="")
    writing.put(place, "settings.conf", b"a=1\n", opened="")

    modes = {
        name: stat.S_IMODE((storage.path(folder) / name).stat().st_mode) for name in left(folder)
    }
    assert modes == {"before_p.sh": 0o770, "settings.conf": 0o660}


def test_in_a_folder_that_is_closed_to_its_group_a_new_file_is_closed_too(
    folder: Folder, place: int
) -> None:
    storage.path(folder).chmod(0o700)

    writing.put(place, "before_p.sh", TEXT, opened="")

    assert stat.S_IMODE((storage.path(folder) / "before_p.sh").stat().st_mode) == 0o700


def test_a_set_user_id_bit_is_not_kept(place: int, script: Path) -> None:
    script.chmod(0o6755)

    writing.put(place, "before_p.sh", OTHER, opened=VERSION)

    assert stat.S_IMODE(script.stat().st_mode) == 0o755


def test_the_exec_bit_is_given_and_taken_to_all_who_may_read(place: int, script: Path) -> None:
    script.chmod(0o640)

    writing.put(place, "before_p.sh", TEXT, opened=VERSION, executable=True)
    assert stat.S_IMODE(script.stat().st_mode) == 0o750
    writing.put(place, "before_p.sh", TEXT, opened=VERSION, executable=False)
    assert stat.S_IMODE(script.stat().st_mode) == 0o640


@ROOT_ONLY
def test_a_file_stays_its_owners(folder: Folder, place: int, script: Path) -> None:
    os.chown(storage.path(folder), 4001, 4002)
    os.chown(script, 4001, 4002)

    writing.put(place, "before_p.sh", OTHER, opened=VERSION)
    writing.put(place, "after_p.sh", TEXT, opened="")

    for name in left(folder):
        found = (storage.path(folder) / name).stat()
        assert (name, found.st_uid) == (name, 4001)
    assert script.stat().st_gid == 4002


@ROOT_ONLY
def test_a_file_of_a_system_account_becomes_the_folders(
    folder: Folder, place: int, script: Path
) -> None:
    os.chown(storage.path(folder), 4001, 4002)
    os.chown(script, 33, 33)

    writing.put(place, "before_p.sh", OTHER, opened=VERSION)

    assert script.stat().st_uid == 4001


@SETFACL
def test_the_access_control_list_is_kept_and_the_folders_default_is_inherited(
    folder: Folder, place: int, script: Path
) -> None:
    at = storage.path(folder)
    at.chmod(0o2770)
    subprocess.run(["setfacl", "-m", "u:4003:rwx,g:4004:r", script], check=True)
    subprocess.run(["setfacl", "-m", "d:u:4005:rwx", at], check=True)
    wanted = os.getxattr(script, acl.ATTRIBUTE)

    writing.put(place, "before_p.sh", OTHER, opened=VERSION)
    writing.put(place, "after_p.sh", TEXT, opened="")

    assert os.getxattr(script, acl.ATTRIBUTE) == wanted
    told = subprocess.run(
        ["getfacl", "-n", at / "after_p.sh"], check=True, capture_output=True, text=True
    ).stdout
    assert "user:4005:rwx" in told
    assert "#effective" not in told.split("user:4005:rwx")[1].split("\n")[0]


@SETFACL
def test_a_mode_without_a_list_does_not_get_the_folders_default(
    folder: Folder, place: int, script: Path
) -> None:
    subprocess.run(["setfacl", "-m", "d:u:4005:rwx", storage.path(folder)], check=True)

    writing.put(place, "before_p.sh", OTHER, opened=VERSION)

    assert acl.of(os.open(script, os.O_RDONLY)) is None
    assert stat.S_IMODE(script.stat().st_mode) == 0o754


@SETFACL
def test_an_owner_to_whom_the_file_cannot_be_given_keeps_their_rights_by_the_list(
    folder: Folder, place: int, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    if os.geteuid() == 0:
        os.chown(script, 4001, -1)
        os.chown(storage.path(folder), 4001, -1)
    monkeypatch.setattr(os, "fchown", refused)
    wanted = script.stat().st_uid

    writing.put(place, "before_p.sh", OTHER, opened=VERSION)

    told = subprocess.run(["getfacl", "-n", script], check=True, capture_output=True, text=True)
    if wanted != os.geteuid():
        assert f"user:{wanted}:rwx" in told.stdout
    assert script.read_bytes() == OTHER


@SETFACL
def test_with_a_list_the_exec_bit_reaches_everyone_who_may_read(place: int, script: Path) -> None:
    script.chmod(0o640)
    subprocess.run(["setfacl", "-m", "u:4003:rw,g::r", script], check=True)

    writing.put(place, "before_p.sh", TEXT, opened=VERSION, executable=True)

    told = subprocess.run(
        ["getfacl", "-n", script], check=True, capture_output=True, text=True
    ).stdout
    assert "user:4003:rwx" in told
    assert "group::r-x" in told


def test_a_change_that_the_person_has_not_seen_is_never_overwritten(
    folder: Folder, place: int, script: Path
) -> None:
    script.write_bytes(OTHER)

    with pytest.raises(
        ChangedError, match=r"before_p.sh has changed since you opened it"
    ) as caught:
        writing.put(place, "before_p.sh", b"mine", opened=VERSION)

    assert caught.value.theirs is not None
    assert caught.value.theirs.content == OTHER
    assert script.read_bytes() == OTHER
    assert left(folder) == ["before_p.sh"]


def _in_the_last_moment(
    monkeypatch: pytest.MonkeyPatch, flags: int, do: Callable[[], None]
) -> None:
    """Let `do` happen right before the new file takes the old one's place."""
    real = writing._rename

    def late(place: int, name: str, to: str, given: int) -> None:
        if given == flags and name.startswith(".n2w-"):
            monkeypatch.setattr(writing, "_rename", real)
            do()
        real(place, name, to, given)

    monkeypatch.setattr(writing, "_rename", late)


def test_a_change_in_the_very_last_moment_is_put_back(
    folder: Folder, place: int, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_the_last_moment(monkeypatch, writing._EXCHANGE, lambda: _swap(script, OTHER))

    with pytest.raises(ChangedError) as caught:
        writing.put(place, "before_p.sh", b"mine", opened=VERSION)

    assert caught.value.theirs is not None
    assert caught.value.theirs.content == OTHER
    assert script.read_bytes() == OTHER
    assert left(folder) == ["before_p.sh"]


def _swap(script: Path, content: bytes) -> None:
    script.unlink()
    script.write_bytes(content)


def test_a_link_that_is_swapped_in_after_the_look_is_replaced_back_and_not_followed(
    folder: Folder, place: int, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def link() -> None:
        script.unlink()
        script.symlink_to(secret)

    _in_the_last_moment(monkeypatch, writing._EXCHANGE, link)
    with pytest.raises(ChangedError) as caught:
        writing.put(place, "before_p.sh", b"mine", opened=VERSION)

    assert caught.value.theirs is not None
    assert caught.value.theirs.content is None
    assert secret.read_text() == "secret"
    assert script.is_symlink()


def test_a_name_that_is_taken_in_the_last_moment_keeps_its_file(
    folder: Folder, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = storage.path(folder) / "before_p.sh"
    _in_the_last_moment(monkeypatch, writing._NOREPLACE, lambda: _wrote(theirs))

    with pytest.raises(ChangedError, match=r"There is a file before_p.sh already"):
        writing.put(place, "before_p.sh", b"mine", opened="")

    assert theirs.read_bytes() == OTHER
    assert left(folder) == ["before_p.sh"]


def _wrote(path: Path) -> None:
    path.write_bytes(OTHER)


def test_a_file_that_is_gone_is_not_made_again(folder: Folder, place: int) -> None:
    with pytest.raises(ChangedError, match="is gone since you opened it"):
        writing.put(place, "before_p.sh", b"mine", opened=VERSION)

    assert left(folder) == []


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "node", "hard", "binary", "large"])
def test_what_is_no_plain_text_of_this_folder_is_neither_shown_nor_written(
    folder: Folder, place: int, tmp_path: Path, kind: str
) -> None:
    path = storage.path(folder) / "before_p.sh"
    outside = tmp_path / "outside"
    outside.write_text("secret")
    if kind == "node" and os.geteuid() != 0:
        pytest.skip("only root can make a device")
    {
        "link": lambda: path.symlink_to(outside),
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "node": lambda: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
        "hard": lambda: path.hardlink_to(outside),
        "binary": lambda: path.write_bytes(b"\x7fELF\0"),
        "large": lambda: _giant(path),
    }[kind]()

    found = looking.read(place, "before_p.sh")
    assert found is not None
    assert found.content is None
    assert found.entry.why.startswith("before_p.sh ")
    glanced = looking.glance(place, "before_p.sh")
    assert glanced is not None
    assert glanced.why == found.entry.why
    with pytest.raises(FileError):
        writing.put(place, "before_p.sh", b"mine", opened=found.entry.version)

    assert outside.read_text() == "secret"
    assert left(folder) == ["before_p.sh"]


def _giant(path: Path) -> None:
    path.touch()
    os.truncate(path, 2 * 1024**3)


def test_a_folder_that_is_a_link_is_not_entered(folder: Folder, tmp_path: Path) -> None:
    at = storage.path(folder)
    at.rmdir()
    (tmp_path / "else").mkdir()
    at.symlink_to(tmp_path / "else")

    with pytest.raises(FileError, match="cannot be opened"), looking.opened(folder):
        pass


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a\0b", "", ".", "..", "x" * 300, "no/such"]
)
def test_no_name_leads_out_of_the_folder(place: int, name: str) -> None:
    assert looking.read(place, name) is None
    assert looking.glance(place, name) is None


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file_as_it_was(
    folder: Folder, place: int, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="the disk or its quota is full"):
        writing.put(place, "before_p.sh", OTHER, opened=VERSION)

    assert script.read_bytes() == TEXT
    assert left(folder) == ["before_p.sh"]
