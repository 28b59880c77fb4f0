"""What this machine is: names, paths, and which of its accounts are ours."""

import grp
import os
import pwd
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import trust
from scripts_admin.domain import linux_register
from scripts_admin.domain.linux_register import Kind, Ours
from scripts_admin.domain.places import Places
from scripts_admin.folders.provisioning.commands import ProvisionError

SERVER = "n2wbackup"  # unless the home belongs to another account
_PEOPLE, _SYSTEM = range(1000, 60000), range(999, 99, -1)


@dataclass(frozen=True, slots=True)
class Machine:
    """`server` and `shared` are names of accounts; `register` has the accounts that are ours, by name."""

    places: Places
    server: str
    shared: str
    scripts_root: str
    register: dict[str, Ours]

    def folder(self, name: str) -> str:
        return os.path.join(self.scripts_root, name)  # noqa: PTH118 - commands take text


def found() -> Machine:
    """Return this machine as the settings describe it."""
    places: Places = settings.N2W_LINUX_PLACES
    return Machine(
        places,
        server_account(),
        settings.N2W_SCRIPT_USER,
        str(settings.N2W_SCRIPTS_ROOT),
        register(places),
    )


def server_account() -> str:
    """Return the account of the server that is not root; of a home that root owns, `n2wbackup` serves the pages."""
    owner = Path(settings.N2W_HOME).stat().st_uid
    return trust.account(owner) if owner else SERVER


def register(places: Places | None = None) -> dict[str, Ours]:
    """Return the accounts that `provision_user` made; none where it never ran, or the list is not root's."""
    path = Path((places or settings.N2W_LINUX_PLACES).accounts)
    try:
        if path.lstat().st_uid != 0 or path.lstat().st_mode & 0o022:
            return {}
        return linux_register.parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def is_ours(account: Ours | None) -> bool:
    """Tell whether the account still is the one that was made: a name that came back is another account."""
    return account is not None and uid_of(account.name) == account.uid


def uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def gid_of(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def is_member(name: str, group: str) -> bool:
    try:
        entry = pwd.getpwnam(name)
        return grp.getgrnam(group).gr_gid in os.getgrouplist(name, entry.pw_gid)
    except KeyError:
        return False


def as_it_is(name: str, kind: Kind, taken: Collection[int], known: Ours | None) -> Ours:
    """Return the account with the ids that it has, or will get: numbers that nobody has and nobody of ours had."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        number = _free(_PEOPLE if kind == Kind.TENANT else _SYSTEM, taken)
        uid = gid = number
    else:
        uid, gid = entry.pw_uid, entry.pw_gid
    if known is not None and known.uid == uid:
        return known
    limits = linux_register.SHARED_LIMITS if kind == Kind.SHARED else linux_register.Limits()
    return Ours(name, uid, gid, kind, limits=limits)


def free_system_id(taken: Collection[int]) -> int:
    """Return a number for a group of the system's that no account, no group and nobody in `taken` has."""
    return _free(_SYSTEM, taken)


def _free(numbers: range, taken: Collection[int]) -> int:
    used = {each.pw_uid for each in pwd.getpwall()} | {each.gr_gid for each in grp.getgrall()}
    used |= set(taken)
    for number in numbers:
        if number not in used:
            return number
    raise ProvisionError("No user id is free on this machine: delete accounts that nobody uses.")
