"""What a session leaves behind is opened to those whom the folder names, and nothing beyond the folder is touched."""

import os
import pwd
import signal
import stat
from pathlib import Path

import pytest

from scripts_admin.folders.provisioning import session
from scripts_admin.folders.provisioning.session import GROUP, GROUP_OBJ, MASK, OTHER, USER, USER_OBJ
from tests.ground import trees

ALICE, SERVER, SHARED = 45001, 45002, 45003
NAMED = [(USER, 7, ALICE), (USER, 7, SERVER), (GROUP, 7, SHARED)]
ACL = [
    *((tag, 7, session.NOBODY) for tag in (USER_OBJ, GROUP_OBJ, MASK)),
    *NAMED,
    (OTHER, 0, session.NOBODY),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "alice"
    made.mkdir(mode=0o770)
    for attribute in (session.ACCESS, session.DEFAULT):
        os.setxattr(made, attribute, session.packed(ACL))
    return made


def written(path: Path, mode: int, text: str = "#!/bin/sh\n") -> Path:
    """Write a file as scp does: the mode that it had at home becomes the mask."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    path.write_text(text)
    return path


def rights(path: Path) -> dict[int, int]:
    """Return what each of the named may really do."""
    found = session.entries(str(path), session.ACCESS)
    mask = next((rights for tag, rights, _ in found if tag == MASK), 7)
    return {who: rights & mask for tag, rights, who in found if tag in (USER, GROUP)}


@pytest.mark.parametrize(("mode", "wanted"), [(0o644, 6), (0o755, 7), (0o700, 7), (0o555, 5)])
def test_all_whom_the_folder_names_may_do_what_the_owner_may(
    folder: Path, mode: int, wanted: int
) -> None:
    file = written(folder / "before_p.sh", mode)
    assert set(rights(file).values()) != {wanted} or mode == 0o555

    session.mend(str(folder))

    assert rights(file) == dict.fromkeys((ALICE, SERVER, SHARED), wanted)
    assert stat.S_IMODE(file.stat().st_mode) & 0o7 == 0
    assert session.closed_in(str(folder)) == []
    assert session.mend(str(folder)) == 0


def test_a_key_stays_closed_and_a_script_does_not(folder: Path) -> None:
    key = written(folder / "id_ed25519", 0o600)
    script = written(folder / "after_p.sh", 0o600)

    session.mend(str(folder))

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert set(rights(script).values()) == {6}


def test_folders_within_folders_without_end_are_looked_at_so_far_and_no_further(
    folder: Path,
) -> None:
    with trees.deep(folder):
        file = written(folder / "before_p.sh", 0o644)

        session.mend(str(folder))

        assert set(rights(file).values()) == {6}
        assert session.closed_in(str(folder)) == []


def test_a_folder_in_it_is_opened_as_well(folder: Path) -> None:
    inner = folder / "lib"
    inner.mkdir(mode=0o750)
    file = written(inner / "helper.sh", 0o640)

    assert sorted(session.closed_in(str(folder))) == ["lib", "lib/helper.sh"]
    session.mend(str(folder))

    assert set(rights(inner).values()) == {7}
    assert set(rights(file).values()) == {6}


def test_no_link_leads_out(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "bob"
    outside.mkdir()
    os.setxattr(outside, session.DEFAULT, session.packed(ACL))
    victim = written(outside / "before_p.sh", 0o640)
    before = session.entries(str(victim), session.ACCESS)
    (folder / "link.sh").symlink_to(victim)
    (folder / "way").symlink_to(outside)
    (folder / "before_p.sh").hardlink_to(victim)
    os.mkfifo(folder / "before_q.sh")

    assert session.mend(str(folder)) == 0

    assert session.entries(str(victim), session.ACCESS) == before
    link = tmp_path / "carol"
    link.symlink_to(outside)
    assert session.mend(str(link)) == 0, "the folder itself is no link either"


def test_only_files_of_the_account_are_opened_at_the_end_of_its_session(folder: Path) -> None:
    file = written(folder / "before_p.sh", 0o640)

    assert session.mend(str(folder), os.geteuid() + 1) == 0
    assert session.mend(str(folder), os.geteuid()) == 1
    assert set(rights(file).values()) == {6}


def test_a_folder_without_a_default_acl_is_left_as_it_is(tmp_path: Path) -> None:
    file = written(tmp_path / "before_p.sh", 0o640)

    assert session.mend(str(tmp_path)) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_an_account_works_in_its_own_folder_and_the_shared_one_in_all(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text(
        "# comment\n"
        "srv uid=1 kind=server state=open\n"
        "cpm uid=2 kind=shared state=open\n"
        "alice uid=3 kind=tenant state=open\n"
        "bob uid=4 kind=tenant state=locked\n"
    )

    found = {uid: session.folders_of(uid, str(accounts)) for uid in (1, 2, 3, 9)}

    assert found == {1: [], 2: ["alice", "bob"], 3: ["alice"], 9: []}
    assert session.folders_of(3, str(tmp_path / "none")) == []


def test_a_session_runs_what_the_client_asks_for_and_says_how_it_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pwd.getpwuid(os.geteuid())
    accounts = folder.parent / "accounts"
    accounts.write_text(f"{folder.name} uid={own.pw_uid} kind=tenant state=open\n")
    new = folder / "before_p.sh"
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", f"echo x > {new}; chmod 640 {new}; exit 3")
    umask = os.umask(0o022)
    handlers = {one: signal.getsignal(one) for one in (1, 2, 3, 13, 15)}

    try:
        assert session.main([str(folder.parent), str(accounts)]) == 3
    finally:
        os.umask(umask)
        for one, handler in handlers.items():
            signal.signal(one, handler)

    assert set(rights(new).values()) == {6}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("", (["-bash"], "/bin/bash")),
        ("ls -l", (["/bin/bash", "-c", "ls -l"], "/bin/bash")),
        ("/usr/lib/openssh/sftp-server", (["/bin/bash", "-c", "/usr/lib/openssh/sftp-server"], "/bin/bash")),
    ],
)  # fmt: skip
def test_a_client_gets_a_shell_a_command_or_sftp(asked: str, wanted: tuple[list[str], str]) -> None:
    assert session._asked("/bin/bash", asked) == wanted
