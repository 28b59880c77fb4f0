"""The parts of the launcher that only decide: whom it accepts, what a script gets, and what belongs to a script."""

import errno
import inspect
import json
import os
import pwd
import re
import socket
import sys
from pathlib import Path

import n2wbackup_run
import pytest
from n2wbackup_run import accounts, asking, kept, main, script, watching
from n2wbackup_run.accounts import RefusedError
from n2wbackup_run.family import Family, Row

from scripts_admin.guard import access, launching
from scripts_admin.guard.access import Right
from scripts_admin.guard.launching import LaunchError

SERVER = 998
LIST = """\
# made by provision_user

n2wbackup uid=998 gid=998 kind=server state=open
cpmuser uid=997 gid=997 kind=shared state=open sudo=yes processes=512 memory=1000000 keys=
alice uid=1001 gid=1001 kind=tenant state=open files=1024
bob uid=1002 kind=tenant state=locked
root uid=0 kind=tenant state=open
toor uid=0 kind=shared state=open
system uid=33 kind=tenant state=open
nobody uid=65534 kind=shared state=open
self uid=998 kind=shared state=open
twice uid=1003 kind=tenant state=open
twice uid=1004 kind=tenant state=open
none kind=tenant state=open
minus uid=-1 kind=shared state=open
"""


def test_open_accounts_of_the_list_are_accepted_with_their_limits() -> None:
    found = accounts.listed(LIST)

    shared = accounts.chosen(found, "cpmuser", SERVER)
    assert (shared.uid, shared.may_sudo, shared.limit("processes")) == (997, True, 512)
    assert shared.limit("files") is None
    alice = accounts.chosen(found, "alice", SERVER)
    assert (alice.uid, alice.may_sudo, alice.limit("files")) == (1001, False, 1024)


@pytest.mark.parametrize(
    "name",
    [
        *("bob", "root", "toor", "system", "nobody", "self", "twice", "none", "minus", "n2wbackup"),
        *("carol", "", "#", "alice uid=1001", "../alice"),
    ],
)
def test_nobody_else_is_accepted(name: str) -> None:
    with pytest.raises(RefusedError):
        accounts.chosen(accounts.listed(LIST), name, SERVER)


@pytest.mark.parametrize("caller", [0, 997, 1001, -1])
def test_only_the_server_may_call(caller: int) -> None:
    accounts.refuse_caller(accounts.listed(LIST), SERVER)
    with pytest.raises(RefusedError, match="not the account of the server"):
        accounts.refuse_caller(accounts.listed(LIST), caller)


def test_two_servers_in_the_list_are_none() -> None:
    found = accounts.listed(f"{LIST}other uid=996 kind=server state=open\n")

    with pytest.raises(RefusedError):
        accounts.refuse_caller(found, SERVER)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_list_that_others_can_write_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    path = tmp_path / "accounts"
    path.write_text(LIST)
    path.chmod(mode)
    monkeypatch.setattr(accounts, "LIST", str(path))

    with pytest.raises(RefusedError, match="others can write"):
        accounts.read()


def test_a_list_that_is_missing_refuses_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "LIST", "/no/such/list")

    with pytest.raises(RefusedError, match="run provision_user as root"):
        accounts.read()


ENTRY = pwd.struct_passwd(("alice", "x", 1001, 1001, "", "/home/alice", "/bin/bash"))


def test_a_script_gets_what_the_contract_names_and_its_own_home() -> None:
    asked = {"PATH": "/bin", "LANG": "C.UTF-8", "N2W_PHASE": "before", "HOME": "/x", "USER": "y"}

    assert script.environment(asked, ENTRY) == {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "N2W_PHASE": "before",
        "HOME": "/home/alice",
        "USER": "alice",
    }


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "BASH_ENV", "SECRET_KEY", "N2W_", "N2W_x", "PATH\n", "DATABASE_URL", "AWS_X"],
)
def test_no_other_variable_is_passed_on(name: str) -> None:
    with pytest.raises(RefusedError, match="no variable of a script"):
        script.environment({name: "1"}, ENTRY)


def test_a_script_is_its_group_its_session_its_cgroup_and_all_that_came_from_them() -> None:
    every = {
        1: Row(0, 1, 1, 5),
        50: Row(40, 40, 40, 90),  # the launcher
        100: Row(50, 100, 100, 100),  # the script
        101: Row(100, 100, 100, 101),
        102: Row(1, 100, 100, 102),  # its parent died
        103: Row(1, 103, 100, 103),  # a group of its own in the session
        104: Row(50, 104, 104, 104),  # a session of its own, inherited by the launcher
        105: Row(104, 104, 104, 105),
        106: Row(1, 106, 106, 106),  # in the cgroup
        107: Row(106, 107, 107, 107),
        200: Row(1, 200, 200, 50),  # somebody else
    }

    assert set(Family(100, 100, above=50).among(every, {106})) == {*range(100, 108)}
    assert set(Family(100, 100).among(every)) == {100, 101, 102, 103}
    assert set(Family(100, 100, kept={104: 104, 200: 51}).among(every)) == {*range(100, 106)}


def test_the_number_of_a_process_that_came_later_is_nobodys() -> None:
    every = {100: Row(1, 100, 100, 777), 101: Row(100, 100, 100, 778)}

    assert Family(100, 100).among(every) == {}


def test_the_launcher_asks_the_kernel_as_the_server_does(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "plain").touch(mode=0o644)
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "in").touch()
    paths = [
        *(
            str(tmp_path / name)
            for name in ("run", "plain", "closed", "closed/in", "none", "run/x")
        ),
        *("/dev/null", "/proc/self/mem", "/", "with\0nul", "/tmp/\udcff"),
    ]

    for path in paths:
        for right in Right:
            wanted = access.answer(os.fsencode(path), right)
            error, closed, noexec = asking.answer(os.fsencode(path), right.value)
            assert (error, os.fsencode(closed), noexec) == (
                wanted.error,
                wanted.closed,
                wanted.noexec,
            ), (path, right)


def test_a_folder_of_somebody_elses_making_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make the folders of somebody else")
    monkeypatch.setattr(kept, "PLACES", (str(tmp_path),))
    (tmp_path / kept.NAME).mkdir(mode=0o700)
    os.chown(tmp_path / kept.NAME, 4711, 4711)
    (tmp_path / f"{kept.NAME}.1").symlink_to("/etc")
    (tmp_path / f"{kept.NAME}.2").mkdir(mode=0o755)

    assert kept.folder() == tmp_path / f"{kept.NAME}.3"
    assert kept.folder() == tmp_path / f"{kept.NAME}.3"


def test_a_file_that_cannot_be_executed_gives_way_to_the_copy(tmp_path: Path) -> None:
    found = script.Script.__new__(script.Script)
    found.entry, found.environment = ENTRY, {}
    found.path, found.file, found.copy = str(tmp_path / "none"), -1, -1

    with pytest.raises(FileNotFoundError) as raised:
        found.execute({"arguments": ["1"], "environment": {}})
    assert raised.value.errno == errno.ENOENT


def test_what_thaws_runs_though_the_launcher_can_note_nothing_and_what_freezes_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {"pid": 1 << 30, "start": 1, "launcher": 1 << 30, "launcher_start": 1, "group": ""}
    entry = kept.Entry(values)
    monkeypatch.setattr(kept, "folder", lambda: Path("/dev/full"))  # as if /run were full

    watching.keep_track(entry, freezes=False)
    with pytest.raises(OSError, match="dev/full"):
        watching.keep_track(entry, freezes=True)


def test_a_file_that_could_not_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"pid": 1 << 30, "start": 1, "launcher": 1 << 30, "launcher_start": 1, "group": ""}
    monkeypatch.setattr(kept, "folder", lambda: tmp_path)
    (tmp_path / f"{1 << 30}-1").mkdir()

    with pytest.raises(OSError, match="directory"):
        kept.Entry(values).write()
    assert [each.name for each in tmp_path.iterdir()] == [f"{1 << 30}-1"]


def test_many_processes_left_behind_fit_into_one_answer_and_hide_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three tenants with the worst names must not keep the end of any run from being entered."""

    def one(run: str) -> kept.Entry:
        values = {"pid": 1 << 30, "start": 1, "launcher": 1 << 30, "launcher_start": 1, "group": ""}
        entry = kept.Entry(values | {"account": "alice", "run": run, "phase": "before"})
        monkeypatch.setattr(entry.family, "living", lambda: dict.fromkeys(range(100000, 104000), 1))
        return entry

    monkeypatch.setattr(kept, "entries", lambda: [one("theirs"), one("ours"), one("ours")])
    monkeypatch.setattr(main, "_name", lambda _: "\ufffd" * 15)

    said = main._answer("leftovers", {"run": "ours"})
    assert len(json.dumps(said)) < launching.MOST_BYTES
    assert [each["run"] for each in said["of"]] == ["ours", "ours"]
    assert len(said["of"][0]["processes"]) == main.MOST_NAMED
    assert [each["run"] for each in main._answer("leftovers", {})["of"]] == [
        "theirs",
        *["ours"] * 2,
    ]


def test_an_answer_that_was_cut_is_no_answer() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(b'{"said": "left')

        with pytest.raises(LaunchError, match="no whole answer"):
            launching.heard(ours)


def _installed(place: Path, version: int) -> None:
    """Lay a launcher's own file, as deploy/launcher/install does."""
    text = inspect.getsource(n2wbackup_run)
    place.write_text(text.replace(f"VERSION = {n2wbackup_run.VERSION}", f"VERSION = {version}"))


@pytest.mark.parametrize(
    ("ahead", "wanted"),
    [
        (0, ""),
        (-1, "of another release .* run deploy/launcher/install as root"),
        (1, "of a newer release .* restart the server with that release"),
    ],
)
def test_a_launcher_of_another_release_is_named_before_anything_is_frozen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ahead: int, wanted: str
) -> None:
    monkeypatch.setattr(launching, "SUDO", sys.executable)
    monkeypatch.setattr(launching, "LAUNCHER", "/bin/sh")  # a file of root's
    monkeypatch.setattr(launching, "OF_LAUNCHER", str(tmp_path / "launcher.py"))
    assert launching.why_not() == "", "what cannot be read is asked"
    _installed(tmp_path / "launcher.py", launching.VERSION + ahead)

    found = launching.why_not()

    assert re.search(wanted, found) if wanted else found == ""


def test_a_launcher_that_is_asked_names_its_release(monkeypatch: pytest.MonkeyPatch) -> None:
    said = main._answer("hello", {})
    monkeypatch.setattr(launching, "ask", lambda _: said)
    launching.check()

    for version in (said["version"] - 1, said["version"] + 1, None):
        said["version"] = version
        with pytest.raises(LaunchError, match=r"of (another|a newer) release "):
            launching.check()
