"""Where the server keeps its things, and who it is. Every folder of `N2W_HOME` is named here."""

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
_MEMORY = Path("/dev/shm")  # noqa: S108 - not a temporary file: the folder is checked for owner, kind and file system


class RuntimeFolderError(RuntimeError):
    """The folder in memory cannot be used; the text says why and what to do."""


def server_id() -> str:
    """Return the UUID of this server as text; it is made once, in `N2W_HOME/server-id`.

    It marks snapshots and runs as ours, so it moves with the data and not with the machine.
    """
    return server_id_of(settings.N2W_HOME)


def server_id_of(home: Path) -> str:
    """Return the server id of the data under `home`; for settings, which cannot ask themselves."""
    path = home / "server-id"
    found = once.text(path, lambda: str(uuid.uuid4()))
    try:
        return str(uuid.UUID(found))
    except ValueError as error:
        raise ValueError(
            f"{path} does not hold a UUID: restore it from a backup "
            "(with a new one, the old runs are nobody's)."
        ) from error


def spool() -> Path:
    """Return `N2W_HOME/spool`, the records that suffice to thaw a run.

    Mode 711: the copies of scripts in it are run as other accounts, who have to know their paths.
    """
    return _private("spool", 0o711)


def run() -> Path:
    """Return `N2W_HOME/run`, mode 700: what the running server wrote for itself."""
    return _private("run")


def logs() -> Path:
    """Return `N2W_HOME/logs`, mode 700."""
    return _private("logs")


def serve_lock() -> Path:
    """Return the path of the file whose lock means that a server runs on this `N2W_HOME`."""
    path: Path = settings.N2W_HOME / "serve.lock"
    return path


def runtime() -> Path:
    """Return a folder in memory that only we can enter: a frozen disk does not stop us there.

    It is made when missing and lost with a reboot. Raises RuntimeFolderError when its name is taken
    by something that is not our own folder, or when it would not lie in memory.
    """
    path = runtime_of(settings.N2W_HOME)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise RuntimeFolderError(
            f"The folder {path} cannot be made ({error.strerror}): "
            f"mount a tmpfs that we may write to on {_MEMORY}."
        ) from error
    _check_runtime(path)
    return path


def keep_temporary_files_in_memory() -> None:
    """Have this process make its temporary files, such as the forkserver's socket, where no frozen disk stops it.

    They lie in a folder of its own, which is locked for as long as it lives; those of the dead are removed.
    """
    parent = runtime()
    for left in parent.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):  # it is held, or somebody else was faster
            held = _hold(left)
            try:
                shutil.rmtree(left)
            finally:
                os.close(held)
    tempfile.tempdir = str(_own_temporary(parent))


def _own_temporary(parent: Path) -> Path:
    while True:
        made = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent))
        with suppress(OSError):  # who starts at the same time takes it for one of the dead
            held = _hold(made)
            if made.exists():
                return made  # `held` stays open
            os.close(held)


def _hold(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock; BlockingIOError where another one does."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def runtime_of(home: Path) -> Path:
    """Return the path of the folder in memory for the data under `home`, without making it."""
    return _MEMORY / f"n2wbackup-{server_id_of(home)}"


def _private(name: str, mode: int = 0o700) -> Path:
    path: Path = settings.N2W_HOME / name
    # Looked at first: on a frozen disk even the wish to make what exists would wait.
    if not path.is_dir():
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        path.chmod(mode)  # whatever the umask
    return path


def _check_runtime(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise RuntimeFolderError(
            f"{path} is a link or a file, not our folder: somebody else made it. "
            "Remove it and start again."
        )
    if found.st_uid != os.geteuid():
        raise RuntimeFolderError(
            f"{path} belongs to user id {found.st_uid} and we are {os.geteuid()}: "
            "run every command of this server as the same user, or remove the folder."
        )
    if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        path.chmod(stat.S_IRWXU)
    kind = _file_system(found.st_dev)
    if kind != "tmpfs":
        raise RuntimeFolderError(
            f"{path} lies on {kind}, not in memory, where a frozen disk cannot stop us: "
            f"mount a tmpfs on {_MEMORY}."
        )


def _file_system(device: int) -> str:
    """Return the kind of the mounted file system with this device number, in the kernel's words."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    mounts = Path("/proc/self/mountinfo").read_bytes().decode(errors="surrogateescape")
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            return source.split()[0]
    return "an unknown file system"
