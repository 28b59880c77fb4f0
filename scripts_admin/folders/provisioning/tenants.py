"""The account of one person: made, with the folder that it works in; locked, with nothing left of it running."""

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from n2wbackup.lib import clock
from scripts_admin.domain.linux_register import Ours
from scripts_admin.folders.provisioning import base, commands, machine, quota, session
from scripts_admin.folders.provisioning.commands import Command, Step
from scripts_admin.folders.provisioning.machine import Machine

SHELL, _NOLOGIN = "/bin/bash", "/usr/sbin/nologin"
_MODE = 0o2770
_KEYS = ".ssh/authorized_keys"


def made(on: Machine, wanted: Ours, keys: Mapping[str, str]) -> list[Step]:
    """Return the steps for the account, its folder and its SSH keys (lines by fingerprint)."""
    home = f"{on.places.homes}/{wanted.name}"
    group = on.places.group
    name = wanted.name
    steps = [
        *base.account(wanted, ("--create-home", "--home-dir", home), SHELL, f"n2wbackup {name}"),
        Step(
            f"{name} is in the group {group}",
            lambda: machine.is_member(name, group),
            (Command(("usermod", "--append", "--groups", group, name)),),
        ),
        Step(
            f"the home of {name} is closed to others",
            lambda: not _mode(_home(name) or home) & 0o077,
            (Command(("chmod", "0700", _home(name) or home)),),
        ),
        Step(
            f"{name} may log in",
            lambda: not is_locked(name),
            (Command(("usermod", "--unlock", "--expiredate", "", "--shell", SHELL, name)),),
        ),
        *folder(on, wanted),
        _shortcut(on, wanted),
        *quota.steps(on.scripts_root, wanted),
    ]
    return steps + ([_keys(on, wanted, keys)] if keys else [])


def folder(on: Machine, wanted: Ours) -> list[Step]:
    """Return the steps for the folder: the owner's, open to the scripts' account and the server, and to nobody else."""
    place, name = on.folder(wanted.name), wanted.name
    return [
        Step(
            f"the folder {place}",
            lambda: stat.S_ISDIR(_status(place)),
            (Command(("mkdir", "--mode=0700", place)),),
        ),
        Step(
            f"the owner, the mode and the ACL of {place}",
            lambda: folder_problem(on, wanted) == "",
            (
                Command(("chown", "--no-dereference", f"{name}:{on.shared}", "."), within=place),
                Command(("setfacl", "--set", _acl(on, name), "."), within=place),
                Command(("setfacl", "--default", "--set", _acl(on, name), "."), within=place),
                Command(("chmod", f"{_MODE:04o}", "."), within=place),
            ),
        ),
        Step(
            f"the files in {place} are open to those whom the folder names",
            lambda: _are_open(on, wanted),
            (Command((on.places.session, "--mend", place)),),
        ),
    ]


def _are_open(on: Machine, wanted: Ours) -> bool:
    """Tell whether no file has to be opened, now or when the folder is as it should be."""
    place = on.folder(wanted.name)
    try:
        is_empty = not os.listdir(place)  # noqa: PTH208 - commands take text
    except OSError:
        return True
    return is_empty or (folder_problem(on, wanted) == "" and not session.closed_in(place))


def _acl(on: Machine, name: str) -> str:
    named = f"u:{on.server}:rwx,u:{name}:rwx,g:{on.shared}:rwx"
    return f"u::rwx,{named},g::rwx,m::rwx,o::---"


def folder_problem(on: Machine, account: Ours) -> str:
    """Return what is wrong with the folder, in words without a full stop; nothing if it is as `folder` makes it."""
    place = on.folder(account.name)
    try:
        status = os.lstat(place)
    except OSError as error:
        return f"{place} cannot be looked at ({error.strerror})"
    shared = machine.gid_of(on.shared)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISDIR(status.st_mode):
        wrong = "is no folder"
    elif status.st_uid != account.uid:
        wrong = f"does not belong to {account.name}"
    elif status.st_gid != shared:
        wrong = f"does not have the group {on.shared}"
    elif mode != _MODE:
        wrong = f"has mode {mode:04o}, not {_MODE:04o}"
    elif not _has_acls(place, _entries(on, account, shared)):
        wrong = f"does not have the ACL that lets {on.server}, {on.shared} and {account.name} work in it"
    else:
        return ""
    return f"{place} {wrong}"


def _has_acls(place: str, wanted: list[tuple[int, int, int]]) -> bool:
    kinds = (session.ACCESS, session.DEFAULT)
    return all(sorted(session.entries(place, kind)) == wanted for kind in kinds)


def _entries(on: Machine, account: Ours, shared: int) -> list[tuple[int, int, int]]:
    server = machine.uid_of(on.server)
    users = {uid for uid in (server, account.uid) if uid is not None}
    return sorted(
        [
            *(
                (tag, 7, session.NOBODY)
                for tag in (session.USER_OBJ, session.GROUP_OBJ, session.MASK)
            ),
            *((session.USER, 7, uid) for uid in users),
            (session.GROUP, 7, shared),
            (session.OTHER, 0, session.NOBODY),
        ]
    )


def _becoming(account: Ours) -> tuple[str, ...]:
    ids = (f"--reuid={account.name}", f"--regid={account.gid}")
    return ("setpriv", *ids, "--init-groups", "--reset-env")


def _shortcut(on: Machine, wanted: Ours) -> Step:
    """Let the account find its folder in its home, unless it has something else of that name."""
    home = _home(wanted.name) or f"{on.places.homes}/{wanted.name}"
    link = Command((*_becoming(wanted), "ln", "-s", on.folder(wanted.name), "scripts"), within=home)
    return Step(
        f"{wanted.name} finds the folder as ~/scripts",
        lambda: os.path.lexists(f"{home}/scripts"),
        (link,),
    )


def _keys(on: Machine, wanted: Ours, keys: Mapping[str, str]) -> Step:
    """Add the lines that are not there. The account itself does it: what it put in the way leads root nowhere."""
    name, as_owner = wanted.name, _becoming(wanted)
    home = _home(name) or f"{on.places.homes}/{name}"

    def missing() -> list[str]:
        there = commands.answer(*as_owner, "head", "-c", "1000000", f"{home}/{_KEYS}") or ""
        known = {tuple(line.split()[:2]) for line in there.splitlines()}
        return [line for line in keys.values() if tuple(line.split()[:2]) not in known]

    new = missing() if machine.uid_of(name) is not None else list(keys.values())
    write = "umask 077 && mkdir -p .ssh && cat >> .ssh/authorized_keys"
    lines = "".join(f"{line}\n" for line in ["", *new])
    command = Command((*as_owner, "sh", "-c", write), lines, within=home)
    return Step(f"the SSH keys of {name}", lambda: not missing(), (command,))


def locked(wanted: Ours) -> list[Step]:
    """Return the steps after which nobody logs in as the account, and no process of it is left. Its files stay."""
    name, uid = wanted.name, wanted.uid
    linger = Path("/var/lib/systemd/linger") / name
    # kill -1 as the account reaches all of its processes in one step, so none can fork away from it.
    become = ("setpriv", f"--reuid={uid}", f"--regid={wanted.gid}", "--clear-groups", "--reset-env")
    return [
        Step(
            f"{name} may no longer log in",
            lambda: is_locked(name),
            (Command(("usermod", "--lock", "--expiredate", "1", "--shell", _NOLOGIN, name)),),
        ),
        Step(
            f"no service of {name} is started at boot",
            lambda: not linger.exists(),
            (Command(("loginctl", "disable-linger", name)),),
        ),
        Step(
            f"no process of {name} is left",
            lambda: not running(uid),
            (Command((*become, "sh", "-c", "kill -KILL -1 || true")),),
            patience=20,
        ),
    ]


def is_locked(name: str) -> bool:
    """Tell whether the account may not log in: its shell says so to everybody, and to root its expiry as well."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return False
    if os.geteuid() != 0:
        return entry.pw_shell == _NOLOGIN
    return entry.pw_shell == _NOLOGIN or _expires(name) is not None


def _expires(name: str) -> int | None:
    """Return the day on which the account expired, or None; only root can read it."""
    for line in commands.reads("/etc/shadow").splitlines():
        fields = line.split(":")
        if fields[0] == name and fields[7]:
            return int(fields[7]) if int(fields[7]) <= clock.now().timestamp() // 86400 else None
    return None


def running(uid: int) -> list[int]:
    """Return the processes that have this user id, real, effective or saved; a zombie is none."""
    return list(_running(uid))


def _running(uid: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, KeyError, ValueError):
                lines = (
                    (entry / "status").read_text(encoding="utf-8", errors="replace").splitlines()
                )
                said = dict(line.split(":", 1) for line in lines if ":" in line)
                if str(uid) in said["Uid"].split()[:3] and not said["State"].strip().startswith(
                    "Z"
                ):
                    yield int(entry.name)


def _home(name: str) -> str | None:
    try:
        return pwd.getpwnam(name).pw_dir
    except KeyError:
        return None


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except OSError:
        return 0o777


def _status(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0
