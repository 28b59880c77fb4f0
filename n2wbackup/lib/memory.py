"""The server's folder in memory: journals of open windows, the broker's socket, temporary files.

Its file system is a tmpfs, so no frozen disk blocks it, and nobody else can keep us from having it. Root has it in
/run, where only root can make a name. Everybody else has it in /dev/shm, where anybody may have made our name
first: then another name is taken. Only we can make a folder that belongs to us, so everybody finds the same one.
"""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from n2wbackup.lib import trust

PUBLIC = Path("/dev/shm")  # noqa: S108 - not a temporary file: owner, kind and file system are checked
ROOTS = Path("/run")
_OURS = "n2wbackup"
_TURN_SECONDS = 1.0
_LOOK_SECONDS = 0.01
_known: dict[
    tuple[str, int], Path
] = {}  # looked at first: others may have filled the public place with our name


class RuntimeFolderError(RuntimeError):
    """The folder in memory cannot be used; the text says why and what to do."""


def folder(home: Path, name: str) -> Path:
    """Return the folder in memory of the data under `home`; it is made if it is missing.

    Raises RuntimeFolderError if there is no place in memory for it.
    """
    owner = os.geteuid()
    found = _existing(name, owner)
    if found is None:
        with _alone(home):
            found = _existing(name, owner) or _make(name)
    return found


def expected(home: Path, name: str) -> Path:
    """Return where the folder is, or where it will be; it is made only if somebody else has its name."""
    with suppress(OSError):
        owner = home.stat().st_uid
        found = _existing(name, owner)
        if found is not None:
            return found
        wanted = next(_first_choices(name, owner))
        if os.path.lexists(wanted) and owner == os.geteuid():
            with suppress(RuntimeFolderError):
                return folder(home, name)
        return wanted
    return PUBLIC / f"{_OURS}-{name}"


def on_disk(run: Path) -> Path:
    """Return a folder for the journals of thaws where memory has none to give: on disk, below `run`.

    It is lost for its readers at a reboot, like the one in memory, because the pids in it mean nothing then.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    path = run / f"boot-{boot[:8]}"  # short: the path of a socket in it must be, too
    path.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    return path


def file_system(device: int) -> str:
    """Return the type of the mounted file system with this device number, as the kernel names it."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    mounts = Path("/proc/self/mountinfo").read_bytes().decode(errors="surrogateescape")
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            return source.split()[0]
    return "an unknown file system"


def _existing(name: str, owner: int) -> Path | None:
    """Return the folder that is there and is the owner's. What others put there under our name is passed by."""
    for place in _candidates(name, owner):
        with suppress(OSError):
            found = place.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == owner and _in_memory(found):
                if stat.S_IMODE(found.st_mode) != stat.S_IRWXU and owner == os.geteuid():
                    place.chmod(stat.S_IRWXU)
                _known[name, owner] = place
                return place
    return None


def _candidates(name: str, owner: int) -> Iterator[Path]:
    if (name, owner) in _known:
        yield _known[name, owner]
    yield from _first_choices(name, owner)
    with suppress(OSError):
        yield from sorted(PUBLIC.glob(f"{_OURS}-{name}.*"))


def _first_choices(name: str, owner: int) -> Iterator[Path]:
    """Yield where it should be. Root's journals of a former release are in the public place, until a reboot."""
    if owner == 0 and _is_roots():
        yield ROOTS / _OURS / name
    yield PUBLIC / f"{_OURS}-{name}"


def _is_roots() -> bool:
    """Tell whether /run is in memory, and only root can make a name in it."""
    with suppress(OSError), trust.folder(ROOTS) as found:
        status = os.fstat(found)
        return status.st_uid == 0 and _in_memory(status)
    return False


def _make(name: str) -> Path:
    if os.geteuid() == 0 and _is_roots():
        with suppress(OSError):
            return _make_roots(name)
    path = PUBLIC / f"{_OURS}-{name}"
    try:
        try:
            path.mkdir(mode=stat.S_IRWXU)
        except FileExistsError:  # not ours, or it would have been found
            path = Path(tempfile.mkdtemp(prefix=f"{path.name}.", dir=PUBLIC))
    except OSError as error:
        raise RuntimeFolderError(
            f"The folder {path} cannot be created ({error.strerror}): "
            f"mount a tmpfs on {PUBLIC} that the server may write to."
        ) from error
    status = path.stat()
    if not _in_memory(status):
        path.rmdir()
        raise RuntimeFolderError(
            f"{path} would be on {file_system(status.st_dev)}, not in memory, where a frozen disk cannot block "
            f"the server: mount a tmpfs on {PUBLIC}."
        )
    return path


def _make_roots(name: str) -> Path:
    parent = ROOTS / _OURS
    with suppress(FileExistsError):
        parent.mkdir(mode=0o711)
    with trust.folder(parent) as within:
        os.mkdir(name, stat.S_IRWXU, dir_fd=within)
    return parent / name


def _in_memory(status: os.stat_result) -> bool:
    return file_system(status.st_dev) == "tmpfs"


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other processes of this home from making the folder at the same time. Nothing is written for it.

    Whoever can read the home can hold this lock, so it is not waited for without limit.
    """
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    until = time.monotonic() + _TURN_SECONDS
    try:
        while not _locked(descriptor) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
