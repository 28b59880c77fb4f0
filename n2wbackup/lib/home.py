"""The server's folders and its id. Every folder of `N2W_HOME` is named here."""

import fcntl
import os
import shutil
import stat
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import once

_TEMPORARY = "tmp-"
_MEMORY = Path("/dev/shm")  # noqa: S108 - not a temporary file: the folder's owner, kind and file system are checked


class RuntimeFolderError(RuntimeError):
    """The folder in memory cannot be used; the text says why and what to do."""


def server_id() -> str:
    """Return the UUID of this server as text; it is created once, in `N2W_HOME/server-id`.

    It marks snapshots and runs as ours, so it belongs to the data and not to the machine.
    """
    return server_id_of(settings.N2W_HOME)


def server_id_of(home: Path) -> str:
    """Return the server id of the data under `home`; for the settings, which cannot read settings."""
    path = home / "server-id"
    found = once.text(path, lambda: str(uuid.uuid4()))
    try:
        return str(uuid.UUID(found))
    except ValueError as error:
        raise ValueError(
            f"{path} does not contain a UUID: restore it from a backup "
            "(with a new UUID, the old runs would belong to no server)."
        ) from error


def spool() -> Path:
    """Return `N2W_HOME/spool`, the folder of the records needed to thaw runs.

    Mode 711: other accounts run the copies of scripts in it, by their full paths, and cannot list the folder.
    """
    return _private("spool", 0o711)


def run() -> Path:
    """Return `N2W_HOME/run`, mode 700: files that the running server writes for itself."""
    return _private("run")


def logs() -> Path:
    """Return `N2W_HOME/logs`, mode 700."""
    return _private("logs")


def serve_lock() -> Path:
    """Return the path of the lock file: if it is locked, a server runs on this `N2W_HOME`."""
    path: Path = settings.N2W_HOME / "serve.lock"
    return path


def runtime() -> Path:
    """Return a folder in memory that only we can enter, and where no frozen disk blocks us.

    It is created if missing, and lost at a reboot. Raises RuntimeFolderError if its name belongs to something
    that is not our own folder, or if it would not be in memory.
    """
    path = runtime_of(settings.N2W_HOME)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise RuntimeFolderError(
            f"The folder {path} cannot be created ({error.strerror}): "
            f"mount a tmpfs on {_MEMORY} that the server may write to."
        ) from error
    _check_runtime(path)
    return path


def keep_temporary_files_in_memory() -> None:
    """Make this process create its temporary files, such as the forkserver's socket, where no frozen disk blocks it.

    They are in a folder of this process, which is locked as long as it lives; folders of dead processes are removed.
    """
    parent = runtime()
    for left in parent.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):  # it is locked, or another process removed it first
            held = _hold(left)
            try:
                shutil.rmtree(left)
            finally:
                os.close(held)
    tempfile.tempdir = str(_own_temporary(parent))


def _own_temporary(parent: Path) -> Path:
    while True:
        made = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent))
        with suppress(
            OSError
        ):  # a process that starts at the same time may take it for a dead one's
            held = _hold(made)
            if made.exists():
                return made  # `held` stays open
            os.close(held)


def _hold(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock; BlockingIOError if another process holds it."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def runtime_of(home: Path) -> Path:
    """Return the path of the folder in memory for the data under `home`, without creating it."""
    return _MEMORY / f"n2wbackup-{server_id_of(home)}"


def _private(name: str, mode: int = 0o700) -> Path:
    path: Path = settings.N2W_HOME / name
    # Check first: on a frozen disk, mkdir would block even if the folder exists.
    if not path.is_dir():
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        path.chmod(mode)  # regardless of the umask
    return path


def _check_runtime(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise RuntimeFolderError(
            f"{path} is a link or a file, not our folder: somebody else created it. "
            "Remove it and start again."
        )
    if found.st_uid != os.geteuid():
        raise RuntimeFolderError(
            f"{path} belongs to user id {found.st_uid}, but we are {os.geteuid()}: "
            "run every command of this server as the same user, or remove the folder."
        )
    if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        path.chmod(stat.S_IRWXU)
    kind = _file_system(found.st_dev)
    if kind != "tmpfs":
        raise RuntimeFolderError(
            f"{path} is on {kind}, not in memory, where a frozen disk cannot block the server: "
            f"mount a tmpfs on {_MEMORY}."
        )


def _file_system(device: int) -> str:
    """Return the type of the mounted file system with this device number, as the kernel names it."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    mounts = Path("/proc/self/mountinfo").read_bytes().decode(errors="surrogateescape")
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            return source.split()[0]
    return "an unknown file system"
