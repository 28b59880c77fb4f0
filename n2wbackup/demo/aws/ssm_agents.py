"""The agents on the instances: scripts that really run, in the folder that stands for the instance.

As the real agent does it:

- at most five commands at a time; the others wait, although SSM calls them InProgress
- a command is written to the agent's folder before it runs, and its result before it is reported: where that
  folder is frozen, it never starts, or is never known to have ended
- the script is a file, run by `sh -c`, in a process group of its own; a command lasts until the script has ended
  *and* everyone who holds its stdout or stderr has closed it
- its timeout and a cancellation kill the group, and the command ends at once; what left the group lives on
"""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

STATES = ("online", "lost", "silent", "frozen")
AT_A_TIME = 5
KILLED = 137  # what the agent takes for a kill of its own, also if the script itself ends so
_POLL_SECONDS = 0.02
_SIGNALLED = -1


@dataclass(slots=True)
class Order:
    """One command for one agent. `cancelled`: the agent has been told to end it."""

    command_id: str
    region: str
    script: str
    working_directory: str
    folder: Path
    execution_seconds: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[bytes] | None = None

    def abandon(self) -> None:
        """End the script, and report nothing."""
        self.abandoned.set()
        _kill(self.process)


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, with everything that it printed."""

    status: str
    code: int
    stdout: Path
    stderr: Path


class Agent:
    """One instance's agent. `folder` is where it keeps its files; `delay_seconds` more for each command to come."""

    def __init__(self, instance_id: str, outputs: Path) -> None:
        """Keep outputs below `outputs`, which never freezes."""
        self.instance_id = instance_id
        self.state = "online"
        self.delay_seconds = 0.0
        self.folder = outputs / "agents" / instance_id
        self.version = "3.3.1611.0"
        self.platform = "Linux"
        self._outputs = outputs
        self._ready_at = 0.0
        self._slots = threading.BoundedSemaphore(AT_A_TIME)

    def restart(self, seconds: float) -> None:
        """Take no command and report nothing for so long; scripts that run go on."""
        self._ready_at = time.monotonic() + seconds

    def is_reached(self) -> bool:
        """Tell whether SSM can give it a command now."""
        return self.state != "lost" and self.is_back()

    def is_back(self) -> bool:
        """Tell whether it has restarted."""
        return time.monotonic() >= self._ready_at

    def wait_until_reached(self) -> None:
        while not self.is_reached():
            time.sleep(_POLL_SECONDS)

    def run(self, order: Order, started: Callable[[], None]) -> Done | None:
        """Run a command, and return when its result is known to SSM; None if it was abandoned."""
        with self._slots:
            if not self._written(order, "document", order.script):
                return None
            done = self._ran(order, started)
            if order.abandoned.is_set() or not self._written(order, "result", done.status):
                return None
        while self.state in {"lost", "silent"} or not self.is_back():
            if order.abandoned.wait(_POLL_SECONDS):
                return None
        return done

    def _written(self, order: Order, name: str, text: str) -> bool:
        """Write a file to the agent's folder; False if the command was abandoned meanwhile.

        Another process writes it: one that writes to a frozen file system cannot even be killed.
        """
        while self.state == "frozen" or not self.is_back():
            if order.abandoned.wait(_POLL_SECONDS):
                return False
        where = self.folder / order.command_id
        lines = f'mkdir -p "$1" && cat > "$1/{name}" && chmod 700 "$1/{name}"'
        writer = subprocess.Popen(["/bin/sh", "-c", lines, "sh", str(where)], stdin=subprocess.PIPE)
        if writer.stdin is not None:
            # The pipe takes 64 KiB, which is more than SSM takes.
            with suppress(BrokenPipeError), writer.stdin as stream:
                stream.write(text.encode())
        while writer.poll() is None:
            if order.abandoned.wait(0.001):
                writer.kill()
                return False
        return True

    def _ran(self, order: Order, started: Callable[[], None]) -> Done:
        files = self._outputs / order.command_id / self.instance_id
        files.mkdir(parents=True)
        stdout, stderr = files / "stdout", files / "stderr"
        stdout.touch()
        stderr.touch()
        if order.cancelled.is_set():
            return Done("Cancelled", KILLED, stdout, stderr)
        try:
            order.process = self._started(order)
        except OSError as error:
            stderr.write_text(f"The script could not be started: {error}", encoding="utf-8")
            return Done("Failed", 1, stdout, stderr)
        started()
        if order.abandoned.is_set():
            _kill(order.process)
        how = _followed(order, order.process, stdout, stderr)
        if how != "ended":
            _kill(order.process)
            status = "TimedOut" if how == "timed out" else "Cancelled"
            return Done(status, KILLED, stdout, stderr)
        code = order.process.wait()
        return Done(_status(code), code if code >= 0 else _SIGNALLED, stdout, stderr)

    def _started(self, order: Order) -> subprocess.Popen[bytes]:
        where = order.folder / order.working_directory.lstrip("/")
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(order.folder),
            "LANG": "C.UTF-8",
            "AWS_SSM_INSTANCE_ID": self.instance_id,
            "AWS_SSM_REGION_NAME": order.region,
        }
        return subprocess.Popen(
            ["/bin/sh", "-c", str(self.folder / order.command_id / "document")],
            cwd=where if where.is_dir() else order.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )


def _status(code: int) -> str:
    if code == KILLED:
        return "TimedOut"
    return "Success" if code == 0 else "Failed"


def _followed(
    order: Order, process: subprocess.Popen[bytes], stdout: Path, stderr: Path
) -> Literal["ended", "timed out", "cancelled"]:
    """Copy both streams until nobody holds them any more and the script has ended, or it has to end."""
    until = time.monotonic() + order.execution_seconds
    with (
        stdout.open("wb") as out,
        stderr.open("wb") as err,
        selectors.DefaultSelector() as selector,
    ):
        pipes: list[tuple[IO[bytes] | None, IO[bytes]]] = [
            (process.stdout, out),
            (process.stderr, err),
        ]
        for pipe, kept in pipes:
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, kept)
        try:
            while selector.get_map() or process.poll() is None:
                if order.cancelled.is_set() or order.abandoned.is_set():
                    return "cancelled"
                if time.monotonic() >= until:
                    return "timed out"
                _copy(selector, process)
        finally:
            for pipe, _ in pipes:
                if pipe is not None:
                    pipe.close()
    return "ended"


def _copy(selector: selectors.BaseSelector, process: subprocess.Popen[bytes]) -> None:
    if not selector.get_map():
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
    for key, _ in selector.select(_POLL_SECONDS):
        piece = os.read(key.fd, 65536)
        if piece:
            key.data.write(piece)
        else:
            selector.unregister(key.fileobj)


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        # The group may outlive its first process, which nobody may have waited for yet.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)


class Agents:
    """The agents by instance; each exists as soon as somebody asks for it."""

    def __init__(self, outputs: Path) -> None:
        self._outputs = outputs
        self._lock = threading.Lock()
        self._agents: dict[str, Agent] = {}

    def of(self, instance_id: str) -> Agent:
        with self._lock:
            return self._agents.setdefault(instance_id, Agent(instance_id, self._outputs))

    def set_state(self, instance_id: str, state: str) -> None:
        """Set an agent's state; see `SimulatedAws.set_agent`."""
        if state not in STATES:
            msg = f"An agent's state is one of {', '.join(STATES)}, not {state!r}."
            raise ValueError(msg)
        self.of(instance_id).state = state

    def clear(self) -> None:
        with self._lock:
            self._agents.clear()
