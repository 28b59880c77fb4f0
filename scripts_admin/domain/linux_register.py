"""Which Linux accounts are ours: the lines of /etc/n2wbackup/accounts, which root owns and the launcher believes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_WORD = re.compile(r"[A-Za-z0-9_.-]+")
HEADING = """\
# The Linux accounts that provision_user made, and their limits: bytes, and numbers of processes and files.
# Scripts run only as accounts that are "open" here. To change a limit, edit it and run provision_user --all.
"""


class Kind(StrEnum):
    """What an account is for."""

    SERVER = "server"
    SHARED = "shared"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one account may use: processes in all, the rest for each process; sizes are bytes."""

    processes: int = 256
    memory: int = 2 * 1024**3
    files: int = 1024
    file_size: int = 4 * 1024**3


SHARED_LIMITS = Limits(processes=1024, memory=4 * 1024**3, files=4096, file_size=16 * 1024**3)
_LIMITS = ("processes", "memory", "files", "file_size")


@dataclass(frozen=True, slots=True)
class Ours:
    """One account. `keys`: fingerprints of the SSH keys that were given to `provision_user`."""

    name: str
    uid: int
    gid: int
    kind: Kind
    is_locked: bool = False
    limits: Limits = field(default_factory=Limits)
    keys: tuple[str, ...] = ()
    has_sudo: bool = False


def parsed(text: str) -> dict[str, Ours]:
    """Return the accounts by name; a line that says no account is left out, and so is nobody's."""
    found = (_account(line) for line in text.splitlines() if not line.startswith("#"))
    return {each.name: each for each in found if each is not None}


def _account(line: str) -> Ours | None:
    name, _, more = line.strip().partition(" ")
    said = dict(word.partition("=")[::2] for word in more.split())
    try:
        kind, uid = Kind(said["kind"]), int(said["uid"])
        gid = int(said.get("gid", uid))
        standard = SHARED_LIMITS if kind == Kind.SHARED else Limits()
        limits = Limits(
            **{each: int(said.get(each) or getattr(standard, each)) for each in _LIMITS}
        )
    except (KeyError, ValueError):
        return None
    if not _WORD.fullmatch(name):
        return None
    keys = tuple(filter(None, said.get("keys", "").split(",")))
    is_locked = said.get("state") != "open"
    return Ours(name, uid, gid, kind, is_locked, limits, keys, said.get("sudo") == "yes")


def written(accounts: Mapping[str, Ours] | Iterable[Ours]) -> str:
    """Return the text of the file, sorted by name."""
    found = accounts.values() if isinstance(accounts, Mapping) else accounts
    return HEADING + "".join(f"{_line(each)}\n" for each in sorted(found, key=lambda a: a.name))


def _line(account: Ours) -> str:
    words = [account.name, f"uid={account.uid}", f"gid={account.gid}", f"kind={account.kind}"]
    words.append(f"state={'locked' if account.is_locked else 'open'}")
    if account.kind != Kind.SERVER:
        words += [f"{each}={getattr(account.limits, each)}" for each in _LIMITS]
    if account.has_sudo:
        words.append("sudo=yes")
    if account.kind == Kind.TENANT:
        words.append(f"keys={','.join(account.keys)}")
    return " ".join(words)
