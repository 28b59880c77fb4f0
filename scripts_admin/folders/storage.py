"""The script folders on disk: the only code that opens one, and it never leaves it."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import which

from django.conf import settings

from scripts_admin.domain import names
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard.spool import RunAs
from scripts_admin.models import Folder

SCRIPT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HEAD_BYTES = 512
MAX_BYTES = 64 * 1024 * 1024  # of a script; each run keeps a copy of two
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds for one phase of one policy.

    `outcome` is None where exactly one script is there, else `missing` or `ambiguous`; `problem` is a sentence
    where the script is there but cannot run.
    """

    phase: Phase
    outcome: Outcome | None
    path: Path | None = None
    names: tuple[str, ...] = ()
    problem: str = ""


def path(folder: Folder) -> Path:
    """Return where the folder's scripts lie."""
    root = Path(settings.N2W_SCRIPTS_ROOT)
    return root if folder.is_root else root / folder.name


def create(folder: Folder, group: int | None = None) -> Path:
    """Make the folder on disk where it is missing, closed to all but the server and `group`.

    `group` is the script account's: it gets into the folder, and files made in it belong to it.
    """
    root = Path(settings.N2W_SCRIPTS_ROOT)
    if not root.is_dir():
        root.mkdir(parents=True)
        root.chmod(0o711)  # accounts pass through it to their own folder, and list nothing
    place = path(folder)
    if place.is_dir():
        return place
    place.mkdir()
    if group is not None:
        os.chown(place, -1, group)
    place.chmod(0o2770 if group is not None else 0o700)
    return place


def file_names(folder: Folder) -> list[str]:
    """Return the names of the regular files, links that stay inside included; sorted."""
    return sorted(entry.name for entry in _scripts(folder))


def find(folder: Folder, phase: Phase, policy: str, identity: RunAs | None) -> Found:
    """Look the phase's script up, and whether it can run as `identity` (None: as this process)."""
    mine = partial(names.belongs, phase=phase, policy=policy)
    found = names.candidates((entry.name for entry in _scripts(folder, mine)), phase, policy)
    if not found:
        return Found(phase, Outcome.MISSING)
    if len(found) > 1:
        listed = ", ".join(found)
        problem = f"Two files claim to be {phase} of {policy}, so none is run: {listed}."
        return Found(phase, Outcome.AMBIGUOUS, names=tuple(found), problem=problem)
    script = path(folder) / found[0]
    return Found(phase, None, script, tuple(found), _why_not(folder, script, identity))


def copy(folder: Folder, script: Path, destination: Path, identity: RunAs | None) -> None:
    """Copy a script so that it runs, as `identity`, even when its folder is gone; fsynced.

    OSError where the script was swapped for something else since it was judged.
    """
    source = _open_inside(folder, script)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        target = os.open(destination, flags, 0o600)
        try:
            with (
                os.fdopen(os.dup(source), "rb") as read,
                os.fdopen(os.dup(target), "wb") as written,
            ):
                written.write(read.read(MAX_BYTES))
            os.fchmod(target, 0o500)
            if identity is not None:
                os.fchown(target, identity.uid, identity.gid)
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _open_inside(folder: Folder, script: Path) -> int:
    """Open a script for reading, whoever swaps links meanwhile: what was opened is what is judged.

    PermissionError where it leads out of the folder, is no regular file, or is larger than MAX_BYTES.
    """
    found = os.open(script, os.O_PATH | os.O_CLOEXEC)  # opens nothing yet: a device must not notice
    try:
        real, home = Path(f"/proc/self/fd/{found}").readlink(), path(folder).resolve()
        status = os.fstat(found)
        inside = real.parent == home if folder.is_root else real.is_relative_to(home)
        if not inside or not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise PermissionError(errno.EACCES, "it is no regular file of its folder", str(script))
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)


def _scripts(
    folder: Folder, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[os.DirEntry[str]]:
    """Yield the entries that may be scripts; what is not wanted by its name is not looked at."""
    place = path(folder)
    try:
        entries = list(os.scandir(place))
    except OSError:  # no folder, or none that can be looked into: no script of it can run
        return
    for entry in entries:
        if (
            wanted(entry.name)
            and entry.is_file()
            and (not entry.is_symlink() or _stays_inside(entry, folder, place))
        ):
            yield entry


def _stays_inside(link: os.DirEntry[str], folder: Folder, place: Path) -> bool:
    """Tell whether a link's target lies in its own folder; below root's there are other people's."""
    target = Path(link.path).resolve()
    home = place.resolve()
    return target.parent == home if folder.is_root else target.is_relative_to(home)


def _why_not(folder: Folder, script: Path, identity: RunAs | None) -> str:
    """Return a sentence on why the script cannot run, or nothing."""
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
        return f"{name} cannot be read by {_who(identity)}, which its interpreter has to: run chmod +r on it."
    if os.statvfs(script).f_flag & os.ST_NOEXEC:
        return (
            f"{name} lies on a file system that is mounted noexec: move the scripts or remount it."
        )
    return _wrong_start(name, head)


def _closed_to(script: Path, identity: RunAs | None) -> Path | None:
    """Return the first folder on the way to the script that the account may not pass, from the top."""
    if (os.geteuid() if identity is None else identity.uid) == 0:
        return None
    way = reversed(script.resolve().parents)
    return next((place for place in way if not _may(place.stat(), identity, stat.S_IXOTH)), None)


def _wrong_start(name: str, head: bytes) -> str:
    if head.startswith(_ELF):
        return ""
    line = head.split(b"\n", 1)[0]
    if not line.startswith(b"#!"):
        return f"{name} has no interpreter line: begin it with #!/bin/bash or the like."
    if line.endswith(b"\r"):
        return f"{name} has Windows line ends (CRLF), which no interpreter is named by: convert it to LF."
    words = line[2:].decode("utf-8", "replace").split()
    if not words or not os.access(words[0], os.X_OK):
        interpreter = words[0] if words else "(none)"
        return f"{name} names the interpreter {interpreter}, which is not installed: install it or correct the line."
    program = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    if Path(words[0]).name == "env" and program and not which(program, path=SCRIPT_PATH):
        return f"{name} names the interpreter {program}, which is not in {SCRIPT_PATH}: install it there."
    return ""


def _may(status: os.stat_result, identity: RunAs | None, right: int) -> bool:
    """Tell whether the account has a right (S_IROTH or S_IXOTH) that the mode gives to its class."""
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
