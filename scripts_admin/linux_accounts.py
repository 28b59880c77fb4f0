"""Which Linux account scripts run as, and whether this process can become it."""

import os
import pwd
from dataclasses import dataclass

from django.conf import settings

from scripts_admin.guard.spool import RunAs
from scripts_admin.models import Folder

MODES = ("cpmuser", "owner", "self")


class AccountError(Exception):
    """Scripts cannot run as the account that the settings name; nothing falls back in silence."""


@dataclass(frozen=True, slots=True)
class LinuxAccount:
    """A Linux account with the home folder that the system gives it."""

    identity: RunAs
    home: str


def script_account(folder: Folder) -> LinuxAccount:
    """Return the account that the folder's scripts run as; AccountError where it is not there.

    Root's folder has no one owner, so its scripts never run as one person's account.
    """
    mode = settings.N2W_RUN_SCRIPTS_AS
    if mode == "self":
        return _account(pwd.getpwuid(os.geteuid()))
    shared = mode == "cpmuser" or folder.is_root
    name = settings.N2W_SCRIPT_USER if shared else folder.name
    try:
        return _account(pwd.getpwnam(name))
    except KeyError:
        message = (
            f"The Linux account {name} does not exist, so no script can run as it: create it, or set "
            "N2W_RUN_SCRIPTS_AS."
        )
        raise AccountError(message) from None


def to_become(account: LinuxAccount) -> RunAs | None:
    """Return the identity to take on, or None where this process has it; AccountError where it cannot."""
    if account.identity.uid == os.geteuid():
        return None
    if os.geteuid() == 0:
        return account.identity
    message = (
        f"Scripts are to run as {account.identity.name}, but the server runs as uid {os.geteuid()} and "
        "cannot become it: start the server as root or as that account, or set N2W_RUN_SCRIPTS_AS=self on a "
        "machine of your own."
    )
    raise AccountError(message)


def group_of(folder: Folder) -> int | None:
    """Return the group that has to get into the folder; None where the server is the script account."""
    try:
        identity = to_become(script_account(folder))
    except AccountError:
        return None  # the system check says so; no script will be started
    return identity.gid if identity else None


def _account(entry: pwd.struct_passwd) -> LinuxAccount:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return LinuxAccount(RunAs(entry.pw_name, entry.pw_uid, entry.pw_gid, groups), entry.pw_dir)
