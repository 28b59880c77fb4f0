"""Commands that really run: in a shell, in the folder that stands for the instance.

Like the agent on an instance, a command waits only for the script's own process: other processes that
the script leaves behind go on, and keep the output files open. A timeout or a cancellation ends the script's
process group.
"""

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ENDED = frozenset({"Success", "Failed", "TimedOut", "Cancelled"})
STDOUT_CHARACTERS, STDERR_CHARACTERS = 24_000, 8_000
AGENTS = ("online", "lost", "silent")
_NOT_RUN = -1


@dataclass(slots=True)
class Invocation:
    """One command on one instance; `status` and `details` are SSM's words."""

    instance_id: str
    folder: Path
    status: str = "Pending"
    details: str = "Pending"
    response_code: int = _NOT_RUN
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stdout: str = ""
    stderr: str = ""
    process: subprocess.Popen[bytes] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Command:
    """The request of SendCommand, and its invocations by instance."""

    command_id: str
    region: str
    script: str
    working_directory: str
    execution_seconds: float
    delivery_seconds: float
    comment: str
    parameters: Mapping[str, Any]
    requested_at: datetime
    requested: float  # on the monotonic clock
    invocations: dict[str, Invocation]

    def status(self) -> str:
        """Return the status of the whole command: the worst end, once all invocations have ended."""
        each = {invocation.status for invocation in self.invocations.values()}
        for status in ("InProgress", "Pending", "Cancelling", "TimedOut", "Failed", "Cancelled"):
            if status in each:
                return status
        return "Success"


class Commands:
    """All commands, and the agents that run them."""

    def __init__(self, folder: Path) -> None:
        """Keep scripts and their output below `folder`."""
        self._folder = folder
        self._lock = threading.Lock()
        self._commands: dict[str, Command] = {}
        self._agents: dict[str, str] = {}

    def agent(self, instance_id: str) -> str:
        """Return the state of the instance's agent: online, lost or silent."""
        return self._agents.get(instance_id, "online")

    def set_agent(self, instance_id: str, state: str) -> None:
        """Set the agent's state: online, lost (accepts no command) or silent (runs commands, reports nothing)."""
        if state not in AGENTS:
            msg = f"An agent's state is one of {', '.join(AGENTS)}, not {state!r}."
            raise ValueError(msg)
        self._agents[instance_id] = state

    def send(self, command: Command, after_seconds: float) -> None:
        """Start the command on its instances and return at once."""
        with self._lock:
            self._commands[command.command_id] = command
        for invocation in command.invocations.values():
            threading.Thread(
                target=self._run,
                args=(command, invocation, after_seconds),
                name=f"ssm {command.command_id}",
                daemon=True,
            ).start()

    def get(self, region: str, command_id: str) -> Command | None:
        """Return a command of the region, or None."""
        found = self._commands.get(command_id)
        return found if found is not None and found.region == region else None

    def all(self, region: str) -> list[Command]:
        """Return the commands of the region, newest first."""
        with self._lock:
            found = list(self._commands.values())
        return [each for each in reversed(found) if each.region == region]

    def cancel(self, command: Command, instance_ids: Sequence[str]) -> None:
        """End the command's scripts on these instances; on all if none is given."""
        for invocation in command.invocations.values():
            if instance_ids and invocation.instance_id not in instance_ids:
                continue
            with self._lock:
                if invocation.status in ENDED:
                    continue
                invocation.status = invocation.details = "Cancelling"
                invocation.cancelled.set()
                _kill(invocation)

    def clear(self) -> None:
        """End every script and forget every command."""
        for command in list(self._commands.values()):
            self.cancel(command, ())
        with self._lock:
            self._commands.clear()
            self._agents.clear()

    def _run(self, command: Command, invocation: Invocation, after_seconds: float) -> None:
        """Deliver the command, run its script, and record the result."""
        invocation.cancelled.wait(after_seconds)
        while self.agent(invocation.instance_id) == "lost" and not invocation.cancelled.is_set():
            if time.monotonic() - command.requested >= command.delivery_seconds:
                self._end(invocation, "TimedOut", "DeliveryTimedOut", _NOT_RUN)
                return
            invocation.cancelled.wait(0.05)
        files = self._folder / command.command_id / invocation.instance_id
        try:
            process = self._start(command, invocation, files)
        except OSError as error:
            invocation.stderr = f"The script could not be started: {error}"
            self._end(invocation, "Failed", "Failed", 1)
            return
        if process is None:
            self._end(invocation, "Cancelled", "Cancelled", _NOT_RUN)
        else:
            self._follow(command, invocation, process, files)

    def _start(
        self, command: Command, invocation: Invocation, files: Path
    ) -> subprocess.Popen[bytes] | None:
        """Start the script, unless the command was cancelled meanwhile."""
        files.mkdir(parents=True)
        with self._lock:
            if invocation.cancelled.is_set():
                return None
            invocation.process = _start(command, invocation, files)
            invocation.status = invocation.details = "InProgress"
            invocation.started_at = datetime.now(tz=UTC)
            return invocation.process

    def _follow(
        self,
        command: Command,
        invocation: Invocation,
        process: subprocess.Popen[bytes],
        files: Path,
    ) -> None:
        """Wait until the script has ended, or end it at its timeout, and keep its output."""
        status, code = "Success", 0
        try:
            code = process.wait(command.execution_seconds)
        except subprocess.TimeoutExpired:
            _kill(invocation)
            process.wait()
            status, code = "TimedOut", 128 + signal.SIGKILL
        else:
            if code != 0:
                status, code = "Failed", code if code > 0 else 128 - code
        if invocation.cancelled.is_set():
            status = "Cancelled"
        if self.agent(invocation.instance_id) == "silent":
            return
        invocation.stdout = _head(files / "stdout", STDOUT_CHARACTERS)
        invocation.stderr = _head(files / "stderr", STDERR_CHARACTERS)
        details = "ExecutionTimedOut" if status == "TimedOut" else status
        self._end(invocation, status, details, code)

    def _end(self, invocation: Invocation, status: str, details: str, code: int) -> None:
        with self._lock:
            invocation.ended_at = datetime.now(tz=UTC)
            invocation.response_code = code
            invocation.status, invocation.details = status, details


def _start(command: Command, invocation: Invocation, files: Path) -> subprocess.Popen[bytes]:
    """Start the script like the agent: as a file, passed to a shell, which respects its shebang.

    The caller holds the lock, so no other thread can fork while the script is open for writing. A
    child that inherited this open file would make the exec fail ("Text file busy").
    """
    script = files / "_script.sh"
    script.write_text(command.script, encoding="utf-8")
    script.chmod(0o700)
    where = invocation.folder / command.working_directory.lstrip("/")
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(invocation.folder),
        "LANG": "C.UTF-8",
        "AWS_SSM_INSTANCE_ID": invocation.instance_id,
        "AWS_SSM_REGION_NAME": command.region,
    }
    with (files / "stdout").open("wb") as stdout, (files / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            ["/bin/sh", "-c", str(script)],
            cwd=where if where.is_dir() else invocation.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )


def _kill(invocation: Invocation) -> None:
    process = invocation.process
    if process is not None and process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _head(path: Path, characters: int) -> str:
    with path.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(characters)


def new_id() -> str:
    """Return a new command id in SSM's format."""
    return str(uuid.uuid4())
