"""How much of the disk an account may fill, where the file system counts that."""

from pathlib import Path

from scripts_admin.domain.linux_register import Ours
from scripts_admin.folders.provisioning import commands
from scripts_admin.folders.provisioning.commands import Command, Step

KILOBYTES, FILES = 10 * 1024**2, 100_000  # for each account
_OPTIONS = {"usrquota", "uquota", "quota", "uqnoenforce", "usrjquota"}


def steps(place: str, account: Ours) -> list[Step]:
    """Return the step that sets the quota; nothing where there is none, which `missing` says."""
    mount = _mount(place)
    if mount is None:
        return []
    limit = ("setquota", "-u", account.name, "0", str(KILOBYTES), "0", str(FILES), mount)
    return [Step(f"the quota of {account.name}", lambda: _is_set(account.name), (Command(limit),))]


def missing(place: str) -> str:
    """Return a sentence if accounts can fill the disk, else ""."""
    if _mount(place) is not None:
        return ""
    return (
        f"The file system of {place} counts no quota of users, so an account can fill it: mount it with usrquota, "
        "install the package quota, and run this again."
    )


def _mount(place: str) -> str | None:
    """Return where the file system of the place is mounted, if it has quotas and setquota is there."""
    found = "/"
    options: set[str] = set()
    for line in commands.reads("/proc/self/mounts").splitlines():
        _, at, _, said, *_ = line.split(" ")
        if Path(place).is_relative_to(at) and len(at) >= len(found):
            found, options = at, {word.partition("=")[0] for word in said.split(",")}
    return found if options & _OPTIONS and commands.program("setquota") else None


def _is_set(name: str) -> bool:
    said = commands.answer("quota", "--no-wrap", "--raw-grace", "--verbose", "--user", name) or ""
    return any(str(KILOBYTES) in line.split() for line in said.splitlines())
