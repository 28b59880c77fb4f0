"""What sshd is told: the keys of an account whose person is here, and nothing for anybody else."""

import os
import pwd
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from scripts_admin.folders.provisioning import admitting
from scripts_admin.folders.provisioning.admitting import ClosedError

UID = os.getuid()
OPEN = f"# a comment\nalice uid={UID} gid=1 kind=tenant state=open keys=\n"


@pytest.fixture
def lists(tmp_path: Path) -> tuple[str, str]:
    """Give root's list of accounts and the server's list of people: both let Alice in."""
    accounts, admitted = tmp_path / "accounts", tmp_path / "ssh-logins"
    accounts.write_text(OPEN)
    admitted.write_text("alice\nbob\n")
    return str(accounts), str(admitted)


def test_an_open_account_of_somebody_who_is_here_is_let_in(lists: tuple[str, str]) -> None:
    admitting.judge("alice", UID, *lists)


@pytest.mark.parametrize(
    ("accounts", "admitted", "words"),
    [
        (OPEN, "bob\n", "deactivated, deleted or a superuser"),
        (OPEN, "", "deactivated, deleted or a superuser"),
        (OPEN, "alice2\nmalice\n", "deactivated, deleted or a superuser"),
        (OPEN, None, "start the server"),
        (OPEN.replace("open", "locked"), "alice\n", "locked"),
        (OPEN.replace("tenant", "shared"), "alice\n", "did not make it"),
        (OPEN.replace(str(UID), f"{UID}1"), "alice\n", "did not make it"),
        (f"#{OPEN}", "alice\n", "did not make it"),
    ],
)
def test_nobody_else_is(
    lists: tuple[str, str], accounts: str, admitted: str | None, words: str
) -> None:
    Path(lists[0]).write_text(accounts.replace("# a comment\n", ""))
    Path(lists[1]).unlink()
    if admitted is not None:
        Path(lists[1]).write_text(admitted)

    with pytest.raises(ClosedError, match=words):
        admitting.judge("alice", UID, *lists)


def test_a_list_that_is_no_file_lets_nobody_in(lists: tuple[str, str], tmp_path: Path) -> None:
    """A server that was taken over must not let root hang, or read something else."""
    for make in (
        os.mkfifo,
        os.mkdir,
        lambda place: place.symlink_to(tmp_path / "ssh-logins"),
        lambda place: place.write_text("alice\n" * 200_000),
    ):
        place = tmp_path / uuid.uuid4().hex
        make(place)
        with pytest.raises((ClosedError, OSError, ValueError)):
            admitting.judge("alice", UID, lists[0], str(place))


@pytest.mark.parametrize("loose", [".", ".ssh", ".ssh/authorized_keys"])
def test_keys_that_others_can_write_open_nothing(tmp_path: Path, loose: str) -> None:
    file = tmp_path / ".ssh/authorized_keys"
    file.parent.mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    file.touch(mode=0o600)
    file.write_text("ssh-ed25519 AAAA alice\n")
    assert admitting.keys_of(str(tmp_path), UID) == "ssh-ed25519 AAAA alice\n"

    (tmp_path / loose).chmod(0o722)

    with pytest.raises(ClosedError, match="others may write"):
        admitting.keys_of(str(tmp_path), UID)


def test_the_program_says_nothing_and_does_not_fail(lists: tuple[str, str]) -> None:
    """A failure would be sshd's last word on all logins; no key is one that it understands."""
    name = pwd.getpwuid(UID).pw_name
    command = [sys.executable, "-IS", admitting.__file__, lists[1], lists[0]]
    for who in (name, "n2wt-nobody-has-it", "-x", "a\nb"):
        done = subprocess.run([*command, who], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
