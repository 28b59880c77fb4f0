"""The demo's folder: the demo creates, marks, locks and removes it.

The mark is a file that only the demo creates. The process that holds its kernel lock is the running
demo of the folder. If the lock is free, a killed demo has left the folder, and it may be removed.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from django.conf import settings

from n2wbackup.lib import home
from n2wbackup.processes import serve_lock

MARK = "made-by-the-demo"
_ONCE = "demo-once-"
# What a server creates in its home as it works. Its keys and its id can come from any command.
_WORK = ("scripts", "spool", "run", "logs")
# Variables that the demo sets itself, or that lead to the outside, which the demo never contacts.
_OURS = ("N2W_", "AWS_", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
_ALSO_OURS = {"ALLOWED_HOSTS", "DEBUG"}


class PlaceError(Exception):
    """The demo has no folder to run in; the text says why and what to do. Nothing was changed."""


def become(*, once: bool, as_json: bool) -> NoReturn:
    """Create a folder and become the demo in it: this process then is `python -m n2wbackup.demo`.

    It must be a new process, because settings are read only once, and those of the server here are not
    the demo's. Raises PlaceError.
    """
    require_simulator()
    _refuse_a_servers_home(settings.N2W_HOME)
    _sweep(settings.N2W_HOME)
    if once:
        folder = Path(tempfile.mkdtemp(dir=settings.N2W_HOME, prefix=_ONCE))
    else:
        folder = _standing(settings.N2W_HOME / "demo")
    lock = _mark(folder)
    folder.chmod(0o711)
    os.set_inheritable(lock, True)  # noqa: FBT003 - Python's own signature
    words = [f"--lock={lock}", *(["--once"] if once else []), *(["--json"] if as_json else [])]
    port = free_port(0 if once else settings.N2W_PORT)
    os.chdir(settings.BASE_DIR)
    os.execve(
        sys.executable,
        [sys.executable, "-m", "n2wbackup.demo", *words],
        _environment(folder, port),
    )


def take(folder: Path) -> int:
    """Make the folder ours, without what a killed demo has left there; return its lock. Raises PlaceError.

    Whoever took it gives it back by `remove`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    return _mark(_standing(folder))


def require_simulator() -> None:
    """Raise PlaceError if the packages of the simulated AWS are not installed, as on a server."""
    if importlib.util.find_spec("moto") is None:
        raise PlaceError(
            "The simulated AWS of the demo is not among the server's packages: run `make demo`, which installs it."
        )


def free_port(first: int) -> int:
    """Return the first free TCP port on loopback from `first` on; for 0, the kernel chooses one."""
    for port in range(first, first + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise PlaceError(
        f"None of the ports {first} to {first + 99} is free: set N2W_PORT to a free port."
    )


def remove(folder: Path) -> None:
    """Remove a demo's folder, and its folder in memory."""
    if (folder / "server-id").is_file():
        shutil.rmtree(home.runtime_of(folder), ignore_errors=True)
    # The mark last: it shows that the rest may be removed.
    for each in sorted(folder.iterdir(), key=lambda path: path.name == MARK):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    folder.rmdir()


def _refuse_a_servers_home(folder: Path) -> None:
    # In the checkout's own `var`, a demo and a server can exist side by side.
    if folder == settings.BASE_DIR / "var":
        return
    database = folder / "db.sqlite3"
    filled = [database] if database.is_file() and database.stat().st_size else []
    found = [*filled, *(folder / name for name in _WORK if (folder / name).exists())]
    if found:
        raise PlaceError(
            f"N2W_HOME is {folder}, where a server has its data ({found[0].name}): "
            "unset it, or name another folder for the demo."
        )


def _standing(folder: Path) -> Path:
    """Return the folder, created if missing; PlaceError if it has files and no mark."""
    folder.mkdir(exist_ok=True)
    if not (folder / MARK).exists() and any(folder.iterdir()):
        raise PlaceError(
            f"{folder} has files that the demo did not create: move them away, or set N2W_HOME."
        )
    return folder


def _mark(folder: Path) -> int:
    """Return the locked mark of the folder, after removing everything that a killed demo has left."""
    lock = serve_lock.acquire(folder / MARK)
    if lock is None:
        raise PlaceError(
            f"A demo already runs in {folder}: use it, or end it with Ctrl-C in its terminal."
        )
    if serve_lock.held(folder / "serve.lock"):
        os.close(lock)
        raise PlaceError(
            f"The server of a killed demo is still stopping in {folder}: try again in a minute."
        )
    os.write(lock, b"manage.py demo made this folder, and removes it.\n")
    for each in _leftovers(folder):
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    return lock


def _leftovers(folder: Path) -> Iterator[Path]:
    if (folder / "server-id").is_file():
        shutil.rmtree(home.runtime_of(folder), ignore_errors=True)
    yield from (each for each in folder.iterdir() if each.name != MARK)


def _sweep(folder: Path) -> None:
    """Remove the folders that killed demos of one backup have left."""
    for left in folder.glob(f"{_ONCE}*"):
        # A folder without a mark is just being created.
        if (left / MARK).is_file() and not serve_lock.held(left / "serve.lock"):
            lock = serve_lock.acquire(left / MARK)
            if lock is not None:
                with contextlib.suppress(OSError):
                    remove(left)
                os.close(lock)


def _environment(folder: Path, port: int) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS)
        and name not in _ALSO_OURS
        and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
        "N2W_HOME": str(folder),
        "N2W_PORT": str(port),
        "N2W_RUN_SCRIPTS_AS": "self",
        # A snapshot that a killed demo has left open is closed after this time.
        "N2W_PROOF_SECONDS": "120",
        # This machine stands for the instance that the demo logs in to.
        "N2W_SSH_NETWORKS": "127.0.0.0/8",
    }
