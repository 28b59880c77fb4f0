"""Which Linux account scripts run as, and whether this process can become it."""

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from scripts_admin.domain.linux_register import Kind
from scripts_admin.folders.provisioning import machine
from scripts_admin.guard import launching
from scripts_admin.guard.spool import RunAs
from scripts_admin.models import Folder, FormerFolder

FIRST_PERSON_UID = 1000
NOBODY_UID = 65534
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
        found = _account(pwd.getpwnam(name))
    except KeyError:
        message = (
            f"The Linux account {name} does not exist, so no script can run as it: create it, or set "
            "N2W_RUN_SCRIPTS_AS."
        )
        raise AccountError(message) from None
    if not shared:
        _refuse_others(found.identity)
    return found


def name_of_script_account(folder: Folder) -> str:
    """Return the name of the account that the folder's scripts run as; AccountError as in `script_account`."""
    uid = script_account(folder).identity.uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # in a container the server may run as a number
        return str(uid)


def named(name: str) -> LinuxAccount:
    """Return the Linux account of this name; AccountError if there is none."""
    try:
        return _account(pwd.getpwnam(name))
    except KeyError:
        raise AccountError(f"The Linux account {name} does not exist.") from None


def is_system(uid: int | None) -> bool:
    """Tell whether this is the uid of a system account, which is no person's."""
    return uid is not None and (uid < FIRST_PERSON_UID or uid == NOBODY_UID)


def _refuse_others(identity: RunAs) -> None:
    """Raise AccountError if the account has the user's name and is somebody else's: the kernel knows it by its uid."""
    if is_system(identity.uid):
        message = (
            f"The Linux account {identity.name} (uid {identity.uid}) is a system account that was made after the "
            "user of this name, so no script runs as it: create another user for these policies."
        )
        raise AccountError(message)
    if FormerFolder.objects.filter(linux_uid=identity.uid).exists():
        message = (
            f"The Linux account {identity.name} (uid {identity.uid}) was the account of a deleted user, whose files "
            "and keys its home may hold, so no script runs as it: remove the account with its home, create it "
            "again, and then delete its line under Former folders in the admin."
        )
        raise AccountError(message)


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
    problem = launching.why_not(account.identity)
    if problem:
        message = (
            f"Scripts must run as {account.identity.name}, but the server runs as uid {os.geteuid()} and "
            f"cannot switch to it: {problem}."
        )
        raise AccountError(message)
    return account.identity


def group_of(folder: Folder) -> int | None:
    """Return the group that must be able to enter the folder; None if scripts run as the server's own account.

    AccountError if they can run as nobody. The pages ask, too, and may run as another account than the workers, to
    whom the home belongs.
    """
    identity = script_account(folder).identity
    server = Path(settings.N2W_HOME).stat().st_uid
    if identity.uid in (0, server) or runs_as_itself():
        return None
    return own_group(folder, identity)


def own_group(folder: Folder, identity: RunAs) -> int:
    """Return the group that the folder has if scripts run as `identity`.

    A folder that `provision_user` made keeps the group that it gave: its ACL names everyone else.
    """
    made = machine.register().get(folder.name)
    if made is not None and made.kind == Kind.TENANT and machine.is_ours(made):
        with suppress(KeyError):
            return pwd.getpwnam(settings.N2W_SCRIPT_USER).pw_gid
    return identity.gid


def who_types() -> str:
    """Return the Linux account that runs this process, and who became it with sudo."""
    uid = os.getuid()
    name = name_of(uid)
    person = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo: {person})" if person and person != name else name


def name_of(uid: int) -> str:
    """Return the name of the Linux account with this uid, else the uid in words."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def uid_of(name: str) -> int | None:
    """Return the uid of the Linux account with this name, if there is one."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _account(entry: pwd.struct_passwd) -> LinuxAccount:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return LinuxAccount(RunAs(entry.pw_name, entry.pw_uid, entry.pw_gid, groups), entry.pw_dir)
