"""The script folders on disk: where they are, whose they are, and what in them can run.

Only this module, `looking` and `writing` open them, and none follows a path out of a folder.
"""

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import trust
from n2wbackup.lib.trust import UntrustedError
from scripts_admin.domain import names
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.shown import shown
from scripts_admin.folders import account, judging
from scripts_admin.folders.account import Account, AccountLostError
from scripts_admin.guard import launching
from scripts_admin.guard.spool import COPY_MODE, RunAs
from scripts_admin.models import Folder

SCRIPT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LINTED_BYTES = 1024 * 1024
FORMER = ".former"  # below the scripts root: the folders of deleted users
_ROOT_MODE = 0o711  # accounts pass through it to their own folder, but cannot list it
_OWN_MODE = 0o700
# The script account may write, or an administrator took that away: both are right.
_GROUP_MODES = (0o2770, 0o2750)
MAX_BYTES = 64 * 1024 * 1024  # per script; each run keeps copies of two
_CLOSED_COPY_MODE = 0o500  # the launcher takes it as an open descriptor
_KINDS = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFIFO: "is a named pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder has for one phase of one policy.

    `outcome` is None if something there fits the phase alone, else `missing` or `ambiguous`. `problem` is a
    sentence if it is there but cannot be taken or cannot run. `names` are as a page may show them.
    """

    phase: Phase
    outcome: Outcome | None
    path: Path | None = None
    names: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder, with its name as a page may show it; `problem` is a sentence if it cannot be a script."""

    name: str
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
        _give(root, _ROOT_MODE)
    place = path(folder)
    if not place.is_dir():
        place.mkdir(mode=_OWN_MODE)
        _give(place, _OWN_MODE)
    mend(folder, group)
    return place


def _give(place: Path, mode: int) -> None:
    """Give a new folder to the account that owns the one above, which is not ours if we are the pages."""
    owner = place.parent.stat().st_uid
    os.chown(place, -1 if owner == os.geteuid() else owner, -1)
    place.chmod(mode)


def mend(folder: Folder, group: int | None) -> None:
    """Give an existing folder the mode and the group that `create` gives; a folder that is missing stays so.

    PermissionError if it is open to everyone and the server may not close it. A folder that is closed
    enough and belongs to somebody else stays as it is.
    """
    try:
        opened = os.open(path(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (
        FileNotFoundError,
        PermissionError,
    ):  # if it may not be read, the look for scripts says so
        return
    try:
        _mend(opened, folder, group)
    except PermissionError:
        if stat.S_IMODE(os.fstat(opened).st_mode) & stat.S_IWOTH:
            raise
    finally:
        os.close(opened)


def _mend(opened: int, folder: Folder, group: int | None) -> None:
    status = os.fstat(opened)
    mode = stat.S_IMODE(status.st_mode)
    if folder.is_root:
        wanted = (mode | _ROOT_MODE) & ~(stat.S_IROTH | stat.S_IWOTH)
    elif group is None:
        wanted = _OWN_MODE
    else:
        wanted = mode if mode in _GROUP_MODES else _GROUP_MODES[0]
        if status.st_gid != group:
            os.fchown(opened, -1, group)
    if stat.S_IMODE(os.fstat(opened).st_mode) != wanted:  # a change of the group may take bits away
        os.fchmod(opened, wanted)


def set_aside(folder: Folder) -> Path | None:
    """Move what is in the folder's place to where only the server can go; None if there is nothing.

    OSError if that failed: then the place still holds it.
    """
    place, aside = path(folder), Path(settings.N2W_SCRIPTS_ROOT) / FORMER
    if folder.is_root or not os.path.lexists(place):
        return None
    aside.mkdir(mode=_OWN_MODE, exist_ok=True)
    _give(aside, _OWN_MODE)
    target = aside / f"{folder.name}-{uuid.uuid4()}"
    return place.rename(target)


def entries(folder: Folder) -> list[Entry]:
    """Return everything in the folder that is not ignored, sorted; OSError if the folder cannot be read."""
    place = path(folder)
    found = sorted(name for name in listed(folder) if not names.is_ignored(name))
    return [Entry(shown(name), why_not_taken(folder, place / name)) for name in found]


def listed(folder: Folder) -> list[str]:
    """Return the names of everything in the folder; none if there is no folder, OSError if it cannot be read."""
    try:
        return os.listdir(path(folder))  # noqa: PTH208 - one call; iterdir would make a Path of each name
    except FileNotFoundError:
        return []


@dataclass(frozen=True, slots=True)
class Content:
    """The beginning of a file, and what its folder says of it."""

    data: bytes
    mode: int
    uid: int


def content(folder: Folder, script: Path, most: int = LINTED_BYTES) -> Content:
    """Return the first `most` bytes of a file; OSError if it cannot be a script, or cannot be read."""
    with os.fdopen(open_inside(folder, script), "rb") as file:
        status = os.fstat(file.fileno())
        return Content(file.read(most), stat.S_IMODE(status.st_mode), status.st_uid)


def find(
    folder: Folder,
    phase: Phase,
    policy: str,
    identity: RunAs | None,
    *,
    asked: Account | None = None,
    environment: Mapping[str, str] | None = None,
    there: Sequence[str] | None = None,
) -> Found:
    """Find the phase's script, and whether it can run as `identity` (None: as this process).

    `asked` answers for `identity`, if it was started already. `environment` is the script's. `there`: the names in the
    folder, if they were listed already.
    """
    try:
        found = names.candidates(listed(folder) if there is None else there, phase, policy)
    except OSError as error:
        why = f"The script folder {path(folder)} cannot be read by the server ({error.strerror})"
        return Found(
            phase,
            None,
            problem=f"{why}, so {phase} of {policy} is unknown: correct its permissions.",
        )
    if not found:
        return Found(phase, Outcome.MISSING)
    said = tuple(map(shown, found))
    if len(found) > 1:
        problem = f"More than one file fits {phase} of {policy}, so none is run: keep only one of {', '.join(said)}."
        return Found(phase, Outcome.AMBIGUOUS, names=said, problem=problem)
    script = path(folder) / found[0]
    problem = why_not_taken(folder, script)
    if not problem and asked is not None:
        problem = _why_not_run(script, asked, environment)
    elif not problem:
        with account.of(identity) as own:
            problem = _why_not_run(script, own, environment)
    return Found(phase, None, script, said, problem)


def why_not_run(
    folder: Folder, script: Path, asked: Account, environment: Mapping[str, str] | None = None
) -> str:
    """Return a sentence that says why an entry cannot run as a script of a phase, or "" if it can."""
    return why_not_taken(folder, script) or _why_not_run(script, asked, environment)


def _why_not_run(script: Path, asked: Account, environment: Mapping[str, str] | None) -> str:
    try:
        return judging.why_not(script, asked, environment or {"PATH": SCRIPT_PATH})
    except AccountLostError as error:
        return f"{shown(script.name)} could not be checked as {asked.name}: {error.advice}."


def copy(folder: Folder, script: Path, destination: Path, identity: RunAs | None) -> str:
    """Copy a script so that it can run as `identity` even when its folder is gone; return the copy's hash.

    OSError if the script was replaced by something else after it was checked.
    """
    with os.fdopen(open_inside(folder, script), "rb") as file:
        content = file.read(MAX_BYTES)
    put(content, destination, identity)
    return hashlib.sha256(content).hexdigest()


def put(content: bytes, destination: Path, identity: RunAs | None) -> None:
    """Write a script into the spool so that it can run as `identity`; it is fsynced.

    The file is the server's. Where the server is root, `identity` may read and run it through its group; where it
    is not, the launcher hands it on.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with trust.folder(destination.parent) as within:
        target = os.open(destination.name, flags, 0o600, dir_fd=within)
    try:
        with os.fdopen(os.dup(target), "wb") as written:
            written.write(content)
        if identity is not None and not launching.is_needed(identity):
            os.fchown(target, -1, identity.gid)
        os.fchmod(target, _CLOSED_COPY_MODE if launching.is_needed(identity) else COPY_MODE)
        os.fsync(target)
    finally:
        os.close(target)


class _NotTakenError(PermissionError):
    """An entry that is no script, whatever its permissions say; `strerror` says what it is."""


def open_inside(folder: Folder, script: Path) -> int:
    """Open a script for reading. The checks are made on the opened file, so swapping links meanwhile has no effect.

    PermissionError if it leads out of the folder, is not a regular file, or is larger than MAX_BYTES.
    """
    found = os.open(
        script, os.O_PATH | os.O_CLOEXEC
    )  # does not open the file yet: a device must not notice
    try:
        wrong = _what_else(folder, found)
        if wrong:
            raise _NotTakenError(errno.EACCES, wrong, str(script))
        return trust.opened(found)
    finally:
        os.close(found)


def _what_else(folder: Folder, found: int) -> str:
    """Return what an opened entry is if it is not a regular file inside the folder, else ""."""
    # Not by pathlib: a run comes here several times, and paths cost more than what the kernel does.
    real = os.readlink(f"/proc/self/fd/{found}")  # noqa: PTH115
    home = os.path.realpath(path(folder))
    inside = os.path.dirname(real) == home if folder.is_root else f"{real}/".startswith(f"{home}/")  # noqa: PTH120
    status = os.fstat(found)
    if not inside:
        return "is a link that leads out of its folder"
    if not stat.S_ISREG(status.st_mode):
        return (
            f"{_KINDS.get(stat.S_IFMT(status.st_mode), 'is something else')} and not a regular file"
        )
    if status.st_size > MAX_BYTES:
        return f"is not a regular file of a script: it is larger than {MAX_BYTES // 1024**2} MiB"
    return ""


def why_not_taken(folder: Folder, script: Path) -> str:
    """Return a sentence that says why an entry cannot be a script, whoever runs it, or "" if it can."""
    name = shown(script.name)
    if not names.is_showable(script.name):
        return f"{name} has a name that can be neither shown nor stored: rename it."
    try:
        os.close(open_inside(folder, script))
    except OSError as error:
        if isinstance(error, _NotTakenError):
            return f"{name} {error.strerror}, so it is not run: put a regular file in its place."
        return f"{name} {_unreadable(script, error)}"
    return ""


def _unreadable(script: Path, error: OSError) -> str:
    if script.is_symlink() and error.errno == errno.ELOOP:
        return "is a link that leads back to itself, so it is not run: put a regular file in its place."
    if script.is_symlink() and error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "is a link to a file that does not exist, so it is not run: correct or remove it."
    return f"cannot be read by the server ({error.strerror}): change its permissions."


def digests(folder: Folder) -> dict[str, str]:
    """Return a digest of each file of the folder: of its content, and of who may execute it."""
    place = path(folder)
    try:
        listed = os.listdir(place)  # noqa: PTH208 - names only
    except OSError:
        return {}
    wanted = (n for n in listed if names.is_showable(n) and not names.is_ignored(n))
    return {name: _digest(folder, place / name) for name in wanted if not (place / name).is_dir()}


_digests: dict[
    Path, tuple[tuple[int, ...], str]
] = {}  # with what the file was like when it was read


def _digest(folder: Folder, script: Path) -> str:
    try:
        found = script.stat()
        like = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = _digests.get(script)
        if known is None or known[0] != like:
            with os.fdopen(open_inside(folder, script), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            known = _digests[script] = (like, f"{digest[:32]} {found.st_mode & 0o111:03o}")
    except OSError as error:
        return f"not taken: {error.strerror}"
    return known[1]
