"""The process that keeps an image open: it asks AWS for the blocks, and has the launcher make a disk of them.

It is started with the order on standard input, credentials in it, forks away from whoever started it, and says on
standard output how it went. It lives until the image's time is over, the hands end, or it is told to end (SIGTERM). Its
folder holds its lock, by which it is known to live, its sockets and the overlay.
"""

import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from policies.adapters.block_reader import Counts, Reader
from policies.domain.errors import ImageDamagedError, ImageError, ImageNotPossibleError
from policies.ports import Credentials
from policies.ports.images import Order
from scripts_admin.guard import launching

LOCK, STATE, COUNTS, WORDS, OVERLAY = "lock", "state.json", "counts", "words", "overlay"
LOG = "log"  # of what its processes print
SOCKETS, LOOK_SECONDS = 4, 2.0
OPEN_SECONDS, CLOSE_SECONDS, LAUNCHER_SECONDS = 90.0, 15.0, 10.0
_LAUNCHER = Path(__file__).resolve().parents[2] / "deploy" / "launcher"
_PYTHON = "/usr/bin/python3"
_ALONE = "import sys; sys.path.insert(0, sys.argv[1]); from n2wbackup_run.alone import main; sys.exit(main())"


def command() -> list[str]:
    """Return the command of the launcher; a server that is root needs no sudo."""
    if os.geteuid() != 0:
        return launching.COMMAND
    python = _PYTHON if Path(_PYTHON).exists() else sys.executable
    return [python, "-IBS", "-c", _ALONE, str(_LAUNCHER)]


def launched(
    request: Mapping[str, object], descriptors: list[int]
) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start the launcher with a request and files; return the socket on which it answers, and its process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            process = subprocess.Popen(
                command(),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=launching.ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            raise ImageNotPossibleError(
                f"The launcher cannot be started ({error.strerror}): {launching.INSTALL}."
            ) from error
    try:
        socket.send_fds(ours, [json.dumps(request).encode()], descriptors)
    except OSError as error:
        ours.close()
        process.wait(launching.START_SECONDS)
        raise ImageNotPossibleError(
            f"The launcher ended at once: {launching.INSTALL}, and look at the server's log."
        ) from error
    return ours, process


def home_of(images: Path) -> str:
    """Return the name of a server's folder of images, by which its images are told from those of another server."""
    return hashlib.sha256(os.fsencode(images.resolve())).hexdigest()[:12]


def opened(order: Order, folder: Path, kept: ExitStack) -> tuple[socket.socket, dict[str, Any]]:
    """Open the image; return the launcher's socket and what is known of the image. `kept` ends the launcher."""
    # Whoever only looks at images or closes them loads this file, too, but never calls AWS.
    from policies.adapters.ebs import EbsBlocks  # noqa: PLC0415

    reader = Reader(EbsBlocks(order.credentials), order, Counts(folder / COUNTS))
    size = reader.size()
    words = _listening(folder)
    overlay = os.open(folder / OVERLAY, os.O_RDONLY | os.O_DIRECTORY)
    pairs = [socket.socketpair() for _ in range(SOCKETS)]
    request = {
        "do": "image",
        "key": order.key,
        "home": home_of(folder.parent),
        "size": size,
        "overlay": order.overlay_bytes,
        "seconds": order.seconds,
        "part": order.part,
    }
    descriptors = [words.fileno(), overlay, *(theirs.fileno() for _, theirs in pairs)]
    control, process = launched(request, descriptors)
    kept.callback(_waited_for, process)
    kept.enter_context(control)
    words.close()
    os.close(overlay)
    for ours, theirs in pairs:
        theirs.close()
        threading.Thread(target=reader.serve, args=(ours,), daemon=True).start()
    return control, _told(control, order, reader)


def _waited_for(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the launcher, which ends everything else once its socket is closed."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(LAUNCHER_SECONDS)


def _listening(folder: Path) -> socket.socket:
    """Return a socket that only this account may connect to."""
    made = socket.socket(socket.AF_UNIX)
    os.chdir(folder)  # a socket's path may be 107 bytes long, and that of the home is longer
    made.bind(WORDS)
    (folder / WORDS).chmod(0o600)
    made.listen(64)
    return made


def _told(control: socket.socket, order: Order, reader: Reader) -> dict[str, Any]:
    """Return what the launcher says of the opened image; the error that says why it is not open."""
    control.settimeout(OPEN_SECONDS)
    try:
        said: dict[str, Any] = json.loads(control.recv(launching.MOST_BYTES) or b"{}")
    except TimeoutError:
        said = {"why": "it was not open in time: look at the server's load and at AWS's answers"}
    except OSError:
        said = {}
    control.settimeout(None)
    if said.get("said") == "open":
        about: dict[str, Any] = said["about"]
        return about
    if reader.problem is not None:
        raise reader.problem
    what = f"The snapshot {order.snapshot_id} cannot be opened"
    if said.get("kind") == "damaged":
        raise ImageDamagedError(f"{what}: {said['why']}.")
    if "is no request" in said.get("why", ""):
        said["why"] = f"the launcher is of another release: {launching.INSTALL}"
    if said.get("said") == "refused":
        raise ImageNotPossibleError(f"{what}: {said['why']}.")
    raise ImageError(f"{what}: {said.get('why', 'the launcher does not answer')}.")


def keep(control: socket.socket, until: float, lock: Path) -> None:
    """Return when the image is closed, its time is over, or its folder was taken away."""
    control.settimeout(LOOK_SECONDS)
    while time.time() < until and lock.exists():
        try:
            if not control.recv(4096):
                return
        except TimeoutError:
            continue
        except OSError:
            return


def close(folder: Path) -> None:
    """Have the process of the image end, and return when it has; what it left then is the reaper's."""
    until, told = time.monotonic() + CLOSE_SECONDS, 0
    while folder.exists() and is_held(folder) and time.monotonic() < until:
        with suppress(OSError, ValueError):
            pid = int((folder / LOCK).read_text())  # empty while it starts
            if pid != told:
                os.kill(pid, signal.SIGTERM)
                told = pid
        time.sleep(0.01)


def is_held(folder: Path) -> bool:
    """Tell whether a process lives that holds the folder's lock."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def main() -> int:
    """Read the order, fork away, open, say so, and keep the image."""
    given = json.loads(sys.stdin.buffer.readline())
    order = Order(**{**given["order"], "credentials": Credentials(**given["credentials"])})
    folder = Path(given["folder"])
    if os.fork():
        os._exit(0)
    os.setsid()
    lock = int(given["lock"])
    os.set_inheritable(lock, False)  # noqa: FBT003 - as the name says
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    until = time.time() + order.seconds
    try:
        with ExitStack() as kept:
            control = _begun(order, folder, until, kept)
            if control is not None:
                keep(control, until, folder / LOCK)
    finally:
        _remove(folder)
    return 0


def _begun(order: Order, folder: Path, until: float, kept: ExitStack) -> socket.socket | None:
    """Open the image and say how it went; None: it is not open."""
    try:
        control, about = opened(order, folder, kept)
        answer = {"about": about, "pid": os.getpid(), "ends_at": until, "of": order.snapshot_id}
        _write(folder / STATE, answer)
    except Exception as error:  # noqa: BLE001 - whoever waits must learn it
        kind, code = type(error).__name__, getattr(error, "code", "")
        _say({"error": kind, "text": str(error), "code": code})
        return None
    _say(answer)
    return control


def _say(answer: Mapping[str, Any]) -> None:
    with suppress(OSError):
        os.write(1, json.dumps(answer).encode())
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


def _remove(folder: Path) -> None:
    """Remove the folder, the lock last: until then it is somebody's."""
    for each in (STATE, COUNTS, WORDS, OVERLAY, LOG, LOCK):
        path = folder / each
        with suppress(OSError):
            if path.is_dir():
                for left in path.iterdir():
                    left.unlink()
                path.rmdir()
            else:
                path.unlink()
    with suppress(OSError):
        folder.rmdir()


if __name__ == "__main__":
    try:
        main()
    except Exception:  # noqa: BLE001 - it goes to the image's log
        traceback.print_exc()
    finally:  # blocks that are still asked for are of no use to anybody: nothing waits for them
        os._exit(0)
