"""The script folders on disk. Only this module opens them, and it never follows a path out of a folder."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import which

from django.conf import settings

from n2wbackup.lib import trust
from n2wbackup.lib.trust import UntrustedError
from scripts_admin.domain import names
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard.spool import COPY_MODE, RunAs
from scripts_admin.models import Folder

SCRIPT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HEAD_BYTES = 512
MAX_BYTES = 64 * 1024 * 1024  # per script; each run keeps copies of two
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder has for one phase of one policy.

    `outcome` is None if there is exactly one script, else `missing` or `ambiguous`. `problem` is a
    sentence if the script is there but cannot run.
    """

    phase: Phase
    outcome: Outcome | None
    path: Path | None = None
    names: tuple[str, ...] = ()
    problem: str = ""


def path(folder: Folder) -> Path:
    """Return the folder's path on disk."""
    root = Path(settings.N2W_SCRIPTS_ROOT)
    return root if folder.is_root else root / folder.name


def distrust() -> str:
    """Return a sentence if the root of all script folders can be changed by somebody else, else ""."""
    try:
        with trust.folder(Path(settings.N2W_SCRIPTS_ROOT), follow=True):
            return ""
    except FileNotFoundError:
        return ""
    except UntrustedError as error:
        return f"No script is run, because {error}"


def create(folder: Folder, group: int | None = None) -> Path:
    """Create the folder on disk if it is missing, closed to everyone but the server and `group`.

    `group` is the group of the script account: it may enter the folder, and owns the files created there.
    """
    root = Path(settings.N2W_SCRIPTS_ROOT)
    if not root.is_dir():
        root.mkdir(parents=True)
        # Accounts pass through it to their own folder, but cannot list it.
        _give(root, 0o711)
    place = path(folder)
    if place.is_dir():
        return place
    place.mkdir()
    _give(place, 0o2770 if group is not None else 0o700, group)
    return place


def _give(place: Path, mode: int, group: int | None = None) -> None:
    """Give a new folder to the account that owns the one above, which is not ours if we are the pages."""
    owner = place.parent.stat().st_uid
    os.chown(place, -1 if owner == os.geteuid() else owner, -1 if group is None else group)
    place.chmod(mode)


def file_names(folder: Folder) -> list[str]:
    """Return the names of the regular files, sorted; links that stay inside the folder count."""
    return sorted(entry.name for entry in _scripts(folder))


def find(folder: Folder, phase: Phase, policy: str, identity: RunAs | None) -> Found:
    """Find the phase's script, and whether it can run as `identity` (None: as this process)."""
    mine = partial(names.belongs, phase=phase, policy=policy)
    found = names.candidates((entry.name for entry in _scripts(folder, mine)), phase, policy)
    if not found:
        return Found(phase, Outcome.MISSING)
    if len(found) > 1:
        listed = ", ".join(found)
        problem = f"More than one file fits {phase} of {policy}, so none is run: keep only one of {listed}."
        return Found(phase, Outcome.AMBIGUOUS, names=tuple(found), problem=problem)
    script = path(folder) / found[0]
    return Found(phase, None, script, tuple(found), _why_not(folder, script, identity))


def copy(folder: Folder, script: Path, destination: Path, identity: RunAs | None) -> None:
    """Copy a script so that it can run as `identity` even when its folder is gone; the copy is fsynced.

    The copy is the server's: `identity` may read and run it through its group, and cannot change it. OSError if
    the script was replaced by something else after it was checked.
    """
    source = _open_inside(folder, script)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with trust.folder(destination.parent) as within:
            target = os.open(destination.name, flags, 0o600, dir_fd=within)
        try:
            with (
                os.fdopen(os.dup(source), "rb") as read,
                os.fdopen(os.dup(target), "wb") as written,
            ):
                written.write(read.read(MAX_BYTES))
            if identity is not None:
                os.fchown(target, -1, identity.gid)
            os.fchmod(target, COPY_MODE)
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _open_inside(folder: Folder, script: Path) -> int:
    """Open a script for reading. The checks are made on the opened file, so swapping links meanwhile has no effect.

    PermissionError if it leads out of the folder, is not a regular file, or is larger than MAX_BYTES.
    """
    found = os.open(
        script, os.O_PATH | os.O_CLOEXEC
    )  # does not open the file yet: a device must not notice
    try:
        real, home = Path(f"/proc/self/fd/{found}").readlink(), path(folder).resolve()
        status = os.fstat(found)
        inside = real.parent == home if folder.is_root else real.is_relative_to(home)
        if not inside or not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise PermissionError(
                errno.EACCES, "it is not a regular file in its folder", str(script)
            )
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)


def _scripts(
    folder: Folder, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[os.DirEntry[str]]:
    """Yield the entries that may be scripts; entries whose names are not wanted are never opened."""
    place = path(folder)
    try:
        entries = list(os.scandir(place))
    except OSError:  # no folder, or an unreadable one: none of its scripts can run
        return
    for entry in entries:
        if (
            wanted(entry.name)
            and entry.is_file()
            and (not entry.is_symlink() or _stays_inside(entry, folder, place))
        ):
            yield entry


def _stays_inside(link: os.DirEntry[str], folder: Folder, place: Path) -> bool:
    """Tell whether a link's target is in the same folder; root's folder has other people's folders below it."""
    target = Path(link.path).resolve()
    home = place.resolve()
    return target.parent == home if folder.is_root else target.is_relative_to(home)


def _why_not(folder: Folder, script: Path, identity: RunAs | None) -> str:
    """Return a sentence that says why the script cannot run, or "" if it can."""
    name = script.name
    closed = _closed_to(script, identity)
    if closed is not None:
        return f"{_who(identity)} may not enter {closed}, so {name} cannot run: give it the x permission there."
    try:
        with os.fdopen(_open_inside(folder, script), "rb") as file:
            status, head = os.fstat(file.fileno()), file.read(_HEAD_BYTES)
    except OSError as error:
        return f"{name} cannot be read by the server ({error.strerror}): change its permissions."
    if not _may(status, identity, stat.S_IXOTH):
        return f"{name} is not executable for {_who(identity)}: run chmod +x on it."
    if not head.startswith(_ELF) and not _may(status, identity, stat.S_IROTH):
        return f"{name} cannot be read by {_who(identity)}, but its interpreter must read it: run chmod +r on it."
    if os.statvfs(script).f_flag & os.ST_NOEXEC:
        return f"{name} is on a file system that is mounted noexec: move the scripts, or remount it with exec."
    return _wrong_start(name, head)


def _closed_to(script: Path, identity: RunAs | None) -> Path | None:
    """Return the first folder on the script's path, from the top, that the account may not enter."""
    if (os.geteuid() if identity is None else identity.uid) == 0:
        return None
    way = reversed(script.resolve().parents)
    return next((place for place in way if not _may(place.stat(), identity, stat.S_IXOTH)), None)


def _wrong_start(name: str, head: bytes) -> str:
    if head.startswith(_ELF):
        return ""
    line = head.split(b"\n", 1)[0]
    if not line.startswith(b"#!"):
        return f"{name} has no interpreter line: begin it with #!/bin/bash or similar."
    if line.endswith(b"\r"):
        return f"{name} has Windows line ends (CRLF), so its interpreter is not found: convert it to LF."
    words = line[2:].decode("utf-8", "replace").split()
    if not words or not os.access(words[0], os.X_OK):
        interpreter = words[0] if words else "(none)"
        return f"{name} names the interpreter {interpreter}, which is not installed: install it or correct the line."
    program = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    if Path(words[0]).name == "env" and program and not which(program, path=SCRIPT_PATH):
        return f"{name} names the interpreter {program}, which is not in {SCRIPT_PATH}: install it there."
    return ""


def _may(status: os.stat_result, identity: RunAs | None, right: int) -> bool:
    """Tell whether the file's mode gives the account's class (owner, group, others) a right: S_IROTH or S_IXOTH."""
    uid = os.geteuid() if identity is None else identity.uid
    groups = (
        {os.getegid(), *os.getgroups()} if identity is None else {identity.gid, *identity.groups}
    )
    mode = status.st_mode
    if uid == 0:
        return right == stat.S_IROTH or bool(mode & (right | right << 3 | right << 6))
    if uid == status.st_uid:
        return bool(mode & right << 6)
    return bool(mode & (right << 3 if status.st_gid in groups else right))


def _who(identity: RunAs | None) -> str:
    return "the server's account" if identity is None else identity.name
