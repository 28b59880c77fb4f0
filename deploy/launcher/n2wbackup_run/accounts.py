"""Which accounts scripts may run as: /etc/n2wbackup/accounts, which only root writes (`provision_user`)."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Mapping, Sequence

LIST = "/etc/n2wbackup/accounts"
FIRST_PERSON_UID, NOBODY_UID = 1000, 65534


class RefusedError(Exception):
    """The request is not carried out; the text is a sentence for people."""


class Account:
    """A line of the list: a name, its uid, its kind and state, and its limits."""

    def __init__(self, name: str, words: Mapping[str, str]) -> None:
        """ValueError if the line has no uid."""
        self.name, self.words = name, words
        self.uid = int(words.get("uid", ""))
        self.kind, self.state = words.get("kind", ""), words.get("state", "")
        self.may_sudo = words.get("sudo") == "yes"

    def limit(self, name: str) -> int | None:
        """Return a limit; None if the line has none."""
        value = self.words.get(name, "")
        return int(value) if value.isdigit() else None

    @property
    def is_system(self) -> bool:
        return self.uid < FIRST_PERSON_UID or self.uid == NOBODY_UID


def listed(text: str) -> dict[str, Account]:
    """Return the accounts of the list by name; a line without a uid is left out, and so is a name that comes twice."""
    found: dict[str, Account] = {}
    twice = set()
    for line in text.splitlines():
        name, *rest = line.split() or [""]
        if not name or name.startswith("#"):
            continue
        with contextlib.suppress(ValueError):
            words = dict(word.split("=", 1) for word in rest if "=" in word)
            twice |= {name} & found.keys()
            found[name] = Account(name, words)
    return {name: each for name, each in found.items() if name not in twice}


def refuse_caller(accounts: Mapping[str, Account], caller: int) -> None:
    """Refuse whoever is not the server. `caller` is the uid that sudo tells."""
    servers = [each.uid for each in accounts.values() if each.kind == "server"]
    if servers != [caller]:
        raise RefusedError(
            f"uid {caller} is not the account of the server in {LIST}: run provision_user as root"
        )


def chosen(accounts: Mapping[str, Account], name: str, caller: int) -> Account:
    """Return the account that a request names, or refuse it."""
    found = accounts.get(name)
    if found is None or found.kind not in ("shared", "tenant"):
        raise RefusedError(
            f"{name} is no account of scripts in {LIST}: run provision_user {name} as root"
        )
    if found.state != "open":
        raise RefusedError(f"{name} is locked in {LIST}: run provision_user {name} as root")
    # The account that all share may be a system account made for it; a tenant's is a person's.
    wrong = found.uid <= 0 or found.uid in (caller, NOBODY_UID)
    if wrong or (found.is_system and found.kind == "tenant"):
        raise RefusedError(f"{name} has uid {found.uid}, as which no script runs: make another")
    return found


def read() -> dict[str, Account]:
    """Return the list; refused if anybody but root may have written it."""
    try:
        with open(LIST, encoding="utf-8") as file:  # noqa: PTH123 - judged by its descriptor
            status = os.fstat(file.fileno())
            if status.st_uid != 0 or status.st_mode & 0o022 or not stat.S_ISREG(status.st_mode):
                raise RefusedError(f"others can write to {LIST}: run provision_user as root")
            return listed(file.read())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"{LIST} cannot be read ({why}): run provision_user as root") from None


def caller() -> int:
    """Return the uid of who called sudo."""
    said = os.environ.get("SUDO_UID", "")
    return int(said) if said.isdigit() else -1


def of(name: str, uid: object) -> tuple[Account, pwd.struct_passwd]:
    """Return the account as the list and as the system know it, or refuse. `uid`: what the server takes it for."""
    found = chosen(read(), name, caller())
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise RefusedError(f"{name} does not exist: run provision_user {name} as root") from None
    if not entry.pw_uid == found.uid == uid:
        raise RefusedError(
            f"{name} has another uid than in {LIST}: run provision_user {name} as root"
        )
    return found, entry


def groups_of(entry: pwd.struct_passwd) -> list[int]:
    """Return the account's groups. The system may have to ask a directory: never in a window."""
    return os.getgrouplist(entry.pw_name, entry.pw_gid)


def become(entry: pwd.struct_passwd, groups: Sequence[int]) -> None:
    """Turn this process into the account, for good."""
    os.setgroups(groups)
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
