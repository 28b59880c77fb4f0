"""Starting, awaiting and ending the ground's processes, and folders with short paths for them."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.ground import components

_PORTS = 12_000
_LONGEST_PAUSE = 0.1


@contextlib.contextmanager
def folder(prefix: str = "ground-", under: Path | None = None) -> Iterator[Path]:
    """Yield a folder that is removed at the end; `under` names another place than the usual one.

    Its path is short (a unix socket's path has at most 107 characters), and every account may pass through
    it, unlike pytest's own folders.
    """
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=under))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def free_port() -> int:
    """Return a TCP port on loopback that is free, and that no test gets as long as this process lives.

    It is below those that the kernel gives to whoever connects, so no connection takes it meanwhile.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = list(range(max(lowest - _PORTS, 1024), lowest))
    random.SystemRandom().shuffle(ports)
    return next(filter(_reserve, ports))


def _reserve(port: int) -> bool:
    # Such a name can be taken once; the kernel frees it when the process has ended, however it ended.
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0n2wbackup-test-port-{port}")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
    except OSError:
        name.close()
        return False
    name.detach()  # it stays open, and nobody closes it
    return True


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, pause: float = 0.02
) -> None:
    """Return as soon as the condition is true; TimeoutError with `what` if it never is.

    `pause`: at first; what takes long is looked at less often, as looking takes the processor from it.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(pause)
        pause = max(pause, min(pause * 1.1, _LONGEST_PAUSE))


def start(
    command: list[str | Path], *, log: Path, account: str | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a daemon in its own session; its output is appended to `log`.

    It gets SIGTERM when this process dies, so that a killed test run leaves nothing behind.
    """
    setpriv = components.program("setpriv")
    with log.open("ab") as output:
        return subprocess.Popen(
            [setpriv, "--pdeathsig", "TERM", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=account,
            group=None if account is None else _group_of(account),
            extra_groups=None if account is None else [],
            cwd=cwd,
        )


def stop(
    process: subprocess.Popen[bytes],
    *,
    politely: signal.Signals = signal.SIGTERM,
    seconds: float = 20,
) -> None:
    """End the process: with the polite signal, then with KILL if it has not ended in time."""
    if process.poll() is None:
        process.send_signal(politely)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def descendants(pid: int) -> list[int]:
    """Return the process ids of all descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in brackets may contain anything, even brackets: the other fields follow the last bracket.
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found = list(children.get(pid, []))
    for each in found:
        found.extend(children.get(each, []))
    return found


def check_alive(process: subprocess.Popen[bytes], log: Path, what: str) -> None:
    """Raise RuntimeError with the end of the log if the process has ended."""
    if process.poll() is not None:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{what} ended with {process.returncode}: {tail}")


def unprivileged(preferred: str) -> str | None:
    """Return the account for a program that refuses root; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return preferred if preferred in names else "nobody"


def _group_of(account: str) -> int:
    return pwd.getpwnam(account).pw_gid


def held_back(status: str) -> dict[str, set[int]]:
    """Return the signals of each `SigBlk:` and `SigIgn:` line of a `/proc/<pid>/status`, by the line's name.

    Those that the C library keeps for itself (32 and 33) are left out: no program can set them, and
    `posix_spawn` of glibc ignores them in what it starts, so they tell of whoever started the tests.
    """
    found = {}
    for line in status.splitlines():
        name, _, mask = line.partition(":")
        if name in ("SigBlk", "SigIgn"):
            bits = int(mask, 16)
            found[name] = {each for each in range(1, 65) if bits >> each - 1 & 1} - {32, 33}
    return found
