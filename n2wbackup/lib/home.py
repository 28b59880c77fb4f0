"""The server's folders and its id. Every folder of `N2W_HOME` is named here."""

import fcntl
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import memory, once, trust
from n2wbackup.lib.memory import RuntimeFolderError
from n2wbackup.lib.trust import UntrustedError

__all__ = ["RuntimeFolderError", "UntrustedError"]

log = logging.getLogger(__name__)
_TEMPORARY = "tmp-"
_NAMED_BY_THE_PLACE = uuid.UUID("5f2c7c55-6a0f-4c8f-9a39-6a5b8d2a9c11")
# Of a file that a variable names, its group may read it: how container platforms hand out secrets.
_NOT_FOR_OTHERS = 0o027
_told = set[Path]()  # folders on disk that are in the log already


def server_id() -> str:
    """Return the UUID of this server as text; it is created once, in `N2W_HOME/server-id`.

    It marks snapshots and runs as ours, so it belongs to the data and not to the machine. Where something else
    is in the file's place, no run begins (`verify`), and those that end need an id all the same.
    """
    try:
        return server_id_of(settings.N2W_HOME)
    except UntrustedError:
        return _id_of_the_place(settings.N2W_HOME)


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


def queue_of(server: str) -> str:
    """Return the name of the queue with the hints that only this server can use, as they need its spool."""
    return f"server-{server}"


def spool() -> Path:
    """Return `N2W_HOME/spool`, the folder of the records needed to thaw runs.

    Mode 711: other accounts run the copies of scripts in it, by their full paths, and cannot list the folder.
    """
    return _private("spool", 0o711)


def run() -> Path:
    """Return `N2W_HOME/run`, mode 700: files that the running server writes for itself."""
    return _private("run")


def ssh_logins() -> Path:
    """Return the file with the names of those who may log in over SSH as their Linux account."""
    return Path(settings.N2W_HOME) / "ssh-logins"


def ssh() -> Path:
    """Return `N2W_HOME/ssh`, the keys and known hosts of scripts, a folder for each owner.

    Mode 711: the scripts' account goes to a folder of its own, and cannot list this one.
    """
    return _private("ssh", 0o711)


def images() -> Path:
    """Return `N2W_HOME/images`, mode 700: what belongs to the snapshots that are opened."""
    return _private("images")


def logs() -> Path:
    """Return `N2W_HOME/logs`, mode 700."""
    return _private("logs")


def serve_lock() -> Path:
    """Return the path of the lock file: if it is locked, a server runs on this `N2W_HOME`."""
    path: Path = settings.N2W_HOME / "serve.lock"
    return path


def runtime() -> Path:
    """Return the folder in memory that only we can enter, and where no frozen disk blocks us.

    It is created if missing, and lost at a reboot. Raises RuntimeFolderError if memory has no place for it.
    """
    return memory.folder(settings.N2W_HOME, _name_in_memory(settings.N2W_HOME))


def runtime_to_thaw() -> Path:
    """As `runtime`; but where memory has no place, the folder is on disk: a thaw must not fail for that."""
    try:
        return runtime()
    except (RuntimeFolderError, OSError) as error:
        path = memory.on_disk(run())
        if path not in _told:
            log.warning("the journals of thaws are on disk for now: %s", error)
        _told.add(path)
        return path


def verify() -> None:
    """Raise UntrustedError for the first thing under `N2W_HOME` that somebody else could have made or changed.

    A few system calls for each; call it before each use of what the home holds. A thaw does not: it judges each
    record for itself.
    """
    for look in _looks():
        with suppress(FileNotFoundError):
            look()


def problems() -> list[str]:
    """Return a sentence for everything that `verify` would refuse."""
    found = []
    for look in _looks():
        try:
            look()
        except FileNotFoundError:
            continue
        except UntrustedError as error:
            found.append(str(error))
        except OSError as error:
            found.append(f"{error.filename} cannot be judged ({error.strerror}): correct its mode.")
    return list(dict.fromkeys(found))


def _looks() -> Iterator[Callable[[], None]]:
    place: Path = settings.N2W_HOME
    yield partial(trust.judge_way, place)
    yield partial(_look_at_folder, place, follow=True)
    for name in ("spool", "run", "secrets", "ssh", "ssh/bin"):
        yield partial(_look_at_folder, place / name)
    for path in (place / "logs", Path(settings.N2W_SCRIPTS_ROOT)):
        yield partial(_look_at_folder, path, follow=True)
    yield partial(_look_at_file, place / "server-id")
    yield partial(_look_at_file, serve_lock())
    for name in ("secret-key", "n2w-encryption-keys"):
        yield partial(_look_at_file, place / "secrets" / name, private=trust.PRIVATE)
    for path in settings.N2W_SECRET_FILES:
        yield partial(_look_at_file, path, private=_NOT_FOR_OTHERS, follow=True)
    database = settings.DATABASES["default"]
    if str(database["ENGINE"]).endswith("sqlite3"):
        yield partial(_look_at_file, Path(database["NAME"]), follow=True)
        for ending in ("-wal", "-shm"):  # the pages may have made them, as an account of their own
            yield partial(_look_at_file, Path(f"{database['NAME']}{ending}"), anybodys=True)


def _look_at_folder(path: Path, *, follow: bool = False) -> None:
    with trust.folder(path, follow=follow):
        pass


def _look_at_file(
    path: Path, *, private: int = 0, follow: bool = False, anybodys: bool = False
) -> None:
    with trust.file(path, private=private, follow=follow, anybodys=anybodys):
        pass


def keep_temporary_files_in_memory() -> None:
    """Make this process create its temporary files, such as the forkserver's socket, where no frozen disk blocks it.

    They are in a folder of this process, which is locked as long as it lives; folders of dead processes are removed.
    Where memory has no room for them they are on disk: a thaw must not fail for that.
    """
    parent = runtime_to_thaw()
    _remove_those_of_the_dead(parent)
    try:
        made = _own_temporary(parent)
    except OSError as error:
        log.warning("temporary files are on disk for now: %s", error)
        made = _own_temporary(memory.on_disk(run()))
    tempfile.tempdir = str(made)


def _remove_those_of_the_dead(parent: Path) -> None:
    for left in parent.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):  # it is locked, or another process removed it first
            held = _hold(left)
            try:
                shutil.rmtree(left)
            finally:
                os.close(held)


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
    """Return the path of the folder in memory for the data under `home`; it may not be there yet."""
    return memory.expected(home, _name_in_memory(home))


def _name_in_memory(home: Path) -> str:
    """Return the server's id. Where it cannot be read or trusted, a thaw still needs a name that all agree on."""
    try:
        return server_id_of(home)
    except (OSError, ValueError):
        return _id_of_the_place(home)


def _id_of_the_place(home: Path) -> str:
    return str(uuid.uuid5(_NAMED_BY_THE_PLACE, str(home)))


def _private(name: str, mode: int = 0o700) -> Path:
    path: Path = settings.N2W_HOME / name
    # Check first: on a frozen disk, mkdir would block even if the folder exists.
    if not path.is_dir():
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        path.chmod(mode)  # regardless of the umask
    return path
