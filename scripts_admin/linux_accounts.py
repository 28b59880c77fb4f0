"""Which Linux account scripts run as, and whether this process can become it."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from scripts_admin.guard.spool import RunAs
from scripts_admin.models import Folder

MODES = ("cpmuser", "owner", "self")


class AccountError(Exception):
    """Scripts cannot run as the account in the settings; there is no silent fallback to another account."""


@dataclass(frozen=True, slots=True)
class LinuxAccount:
    """A Linux account and its home folder on this system."""

    identity: RunAs
    home: str


def runs_as_itself() -> bool:
    """Tell whether scripts run as the server's own account, whichever it is."""
    return bool(settings.N2W_RUN_SCRIPTS_AS == "self")


def script_account(folder: Folder) -> LinuxAccount:
    """Return the account that the folder's scripts run as; AccountError if it does not exist.

    Root's folder has no single owner, so its scripts never run as the account of one person.
    """
    mode = settings.N2W_RUN_SCRIPTS_AS
    if runs_as_itself():
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
    """Return the account to switch to, or None if this process already runs as it; AccountError if it cannot switch.

    Scripts are root's only where the settings say that they run as the server itself.
    """
    if account.identity.uid == 0 and not runs_as_itself():
        message = (
            f"Scripts must not run as root, and {account.identity.name} has its user id: name another account in "
            "N2W_SCRIPT_USER, or set N2W_RUN_SCRIPTS_AS=self on a machine of your own."
        )
        raise AccountError(message)
    if account.identity.uid == os.geteuid():
        return None
    if os.geteuid() == 0:
        return account.identity
    message = (
        f"Scripts must run as {account.identity.name}, but the server runs as uid {os.geteuid()} and "
        "cannot switch to it: start the server as root or as that account, or set N2W_RUN_SCRIPTS_AS=self on a "
        "machine of your own."
    )
    raise AccountError(message)


def group_of(folder: Folder) -> int | None:
    """Return the group that must be able to enter the folder; None if scripts run as the server's own account.

    The pages ask, too, and may run as another account than the workers, to whom the home belongs.
    """
    try:
        identity = script_account(folder).identity
    except AccountError:
        return None  # the system check reports it; no script is started
    server = Path(settings.N2W_HOME).stat().st_uid
    return identity.gid if server == 0 and identity.uid != 0 and not runs_as_itself() else None


def _account(entry: pwd.struct_passwd) -> LinuxAccount:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return LinuxAccount(RunAs(entry.pw_name, entry.pw_uid, entry.pw_gid, groups), entry.pw_dir)
