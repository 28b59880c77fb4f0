"""The far side of a remote script over plain pipes: what sshd would start, under each shell that instances have."""

import functools
import inspect
import os
import secrets
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from scripts_admin.runners import far
from tests.ground import components, processes
from tests.ground.leeway import LEEWAY

W = TypeVar("W")
SHELLS = ("dash", "bash", "busybox")
PATIENCE_SECONDS = LEEWAY
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def commands(folder: Path, shell: str) -> str:
    """Return a PATH on which `sh` is this shell; with busybox, its own tools come first, as on Alpine."""
    mine = folder / shell
    mine.mkdir()
    program = components.program(shell)
    (mine / "sh").symlink_to(program)
    if shell == "busybox":
        listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
        for name in set(listed.stdout.split()) - {"sh", "flock"}:
            (mine / name).symlink_to(program)
    return f"{mine}:{SYSTEM_PATH}"


def in_each_shell(test: Callable[..., None]) -> Callable[..., None]:
    """Run the test under each shell, all at the same time, because most of it is waiting.

    What it asks for as `path` is a PATH with the shell as `sh`, `tmp_path` is a folder of its own in which `ledger` is
    a file for what its scripts did; the rest comes from pytest.
    """
    asked = inspect.signature(test).parameters
    ours = ("path", "ledger", "tmp_path")

    def under(shell: str, folder: Path, **others: Any) -> None:
        folder.mkdir()
        (folder / "ledger").touch()
        given = {"path": commands(folder, shell), "ledger": folder / "ledger", "tmp_path": folder}
        test(**{name: given[name] for name in ours if name in asked}, **others)

    @functools.wraps(test)
    def in_all(tmp_path: Path, **others: Any) -> None:
        for shell in SHELLS:
            components.program(shell)
        with ThreadPoolExecutor(len(SHELLS)) as pool:
            running = {
                shell: pool.submit(under, shell, tmp_path / f"in-{shell}", **others)
                for shell in SHELLS
            }
        for shell, future in running.items():
            error = future.exception()
            if error is not None:
                error.add_note(f"under {shell}")
                raise error

    others = [parameter for name, parameter in asked.items() if name not in ours]
    of_pytest = inspect.Parameter("tmp_path", inspect.Parameter.KEYWORD_ONLY)
    in_all.__signature__ = inspect.Signature([*others, of_pytest])  # type: ignore[attr-defined]
    return in_all


def order(before: str | None = "", after: str | None = "", **settings: Any) -> far.Order:
    """Return an order with two scripts of /bin/sh, and a clock that lets a test be quick."""
    return replace(
        far.Order(
            secrets.token_hex(16),
            before=None if before is None else script("before_shop@all.sh", before),
            after=None if after is None else script("after_shop@all.sh", after),
            environment={"N2W_RUN_ID": "a-run", "N2W_POLICY": "shop"},
            grace=0.2,
            last=PATIENCE_SECONDS,
            tick=0.2,
        ),
        **settings,
    )


def script(name: str, text: str) -> far.Carried:
    """Return a script of /bin/sh."""
    return far.Carried(name, f"#!/bin/sh\n{text}\n".encode())


@dataclass
class FarSide:
    """A started program; what it says is read as words."""

    process: subprocess.Popen[bytes]
    order: far.Order
    reader: far.Reader
    heard: list[far.Word] = field(default_factory=list)  # all of them, in their order
    _taken: int = 0

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def hangs_up(self) -> None:
        """End our side of the channel, as a server that died."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def hears(self, kind: type[W]) -> W:
        """Return the next word of this kind; other words before it are passed over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            while self._taken < len(self.heard):
                word = self.heard[self._taken]
                self._taken += 1
                if isinstance(word, kind):
                    return word
            if not self._listen(deadline - time.monotonic()):
                raise AssertionError(f"no {kind.__name__}: {self.heard}, {self.reader.rest()!r}")

    def hears_the_end(self) -> list[far.Word]:
        """Return all words once everyone has closed the channel."""
        while self._listen(PATIENCE_SECONDS):
            pass
        return self.heard

    def _listen(self, seconds: float) -> bool:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], max(0.0, seconds))[0]:
            return False
        chunk = os.read(self.process.stdout.fileno(), 65536)
        self.heard += self.reader.feed(chunk)
        return bool(chunk)

    def is_ready(self) -> far.Ready:
        return self.hears(far.Ready)

    def goes(self) -> None:
        """Open the gate of before, in time."""
        self.say(far.ping(1))
        self.say(far.go(self.hears(far.Pong).uptime))

    def freezes(self) -> far.Before:
        """Run before to its end."""
        self.is_ready()
        self.goes()
        return self.hears(far.Before)

    @property
    def folder(self) -> Path:
        return next(Path(word.folder) for word in self.heard if isinstance(word, far.Ready))

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def logged(self, start: str) -> list[list[str]]:
        """Return the fields of the log's lines that begin with this word."""
        return [line.split() for line in self.log().splitlines() if line.split()[0] == start]

    def outputs(self) -> dict[str, bytes]:
        """Fetch what the scripts printed; a cut output has the number of its missing bytes in it."""
        self.say(far.FETCH)
        found = {}
        while (out := self.hears(far.Out)).phase != "end":
            cut = f"[{out.cut}]".encode() if out.cut else b""
            found[f"{out.phase}.{out.attempt}.{out.stream}"] = out.head + cut + out.tail
        return found

    def leaves_nothing(self) -> bool:
        """Wait until no process of the run lives."""
        return leaves_nothing(self.order, self.process.pid)


def leaves_nothing(of: far.Order, session: int = -1) -> bool:
    """Wait until no process of the run lives."""
    processes.wait_until(
        lambda: not members(of, session),
        seconds=PATIENCE_SECONDS,
        what="the run's processes end",
        pause=0.1,
    )
    return True


def members(of: far.Order, session: int = -1) -> list[int]:
    """Return all living processes of the run: those of its session, of its folder and with its mark."""
    nonce = of.nonce.encode()
    return [pid for pid in _pids() if _belongs(pid, nonce, session)]


# Nothing that was there before the tests belongs to a run; to look at it takes time.
_BEGAN_TICKS = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")


def _belongs(pid: int, nonce: bytes, session: int) -> bool:
    with suppress(OSError, IndexError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if state[0] == "Z" or int(state[19]) < _BEGAN_TICKS - 1:
            return False
        return int(state[3]) == session or any(
            nonce in Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline")
        )
    return False


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


@contextmanager
def started(
    path: str,
    of: far.Order,
    mode: far.Mode = "ssh",
    second: far.Second | None = None,
    *,
    prefix: bytes = b"",
    keep: bool = False,
) -> Iterator[FarSide]:
    """Start the program as sshd would; at the end nothing of it is left.

    `prefix` stands before the program. `keep`: the run's folder stays, it is another session's, too.
    """
    text = prefix + far.program(of, mode, second)
    process = subprocess.Popen(
        ["sh", "-c", far.launch(text)],
        env={"PATH": path, "HOME": "/"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    side = FarSide(process, of, far.Reader(of.nonce))
    side.say(text)
    try:
        with ended(of, process.pid, alone=keep) if keep else cleared(of, process.pid):
            yield side
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                pipe.close() if pipe else None
        process.wait()


@contextmanager
def ended(of: far.Order, session: int, *, alone: bool = False) -> Iterator[None]:
    """At the end, no process of the run lives; its folder stays. `alone`: those of other sessions live on."""
    try:
        yield
    finally:
        for pid in members(replace(of, nonce="none" * 8) if alone else of, session):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def cleared(of: far.Order, session: int = -1) -> Iterator[None]:
    """At the end, whatever became of the test, nothing of the run is left."""
    try:
        with ended(of, session):
            yield
    finally:
        for base in ("/dev/shm", "/run"):  # the wrapper chooses among them
            shutil.rmtree(Path(base) / f"n2w-{of.nonce}", ignore_errors=True)


def run_document(
    path: str, of: far.Order, mode: far.Mode, second: far.Second | None = None
) -> list[far.Word]:
    """Run the program as SSM's agent does, until everyone who holds its output has closed it; return its words."""
    done = subprocess.run(
        _document(of, mode, second),
        env={"PATH": path, "HOME": "/"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    return far.words(done.stdout, of.nonce)


@contextmanager
def agent(path: str, of: far.Order) -> Iterator[subprocess.Popen[bytes]]:
    """Start the first command in a group of its own, as the agent does; the block may kill it."""
    process = subprocess.Popen(
        _document(of, "ssm-a", None),
        env={"PATH": path, "HOME": "/"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _document(of: far.Order, mode: far.Mode, second: far.Second | None) -> list[str]:
    return ["sh", "-c", far.document(far.program(of, mode, second))]
