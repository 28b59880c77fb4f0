"""Commands of SSM: what was asked for, and how it goes on each instance."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from n2wbackup.demo.aws.options import Options
from n2wbackup.demo.aws.ssm_agents import Agent, Agents, Order
from n2wbackup.demo.aws.ssm_outputs import OutputPlaces, Outputs

ENDED = frozenset({"Success", "Failed", "TimedOut", "Cancelled"})
_ERRORS = frozenset({"Failed", "ExecutionTimedOut"})  # delivery timeouts do not count
_NOT_RUN = -1
_POLL_SECONDS = 0.01


@dataclass(slots=True)
class Invocation:
    """One command on one instance; `status` and `details` are SSM's words.

    `received`: its agent has taken it; only then it can end in another way than by a timeout or a cancellation.
    """

    instance_id: str
    folder: Path
    status: str = "Pending"
    details: str = "Pending"
    response_code: int = _NOT_RUN
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stdout: Path | None = None
    stderr: Path | None = None
    received: bool = False
    withdrawn: bool = False  # cancelled before its agent had it
    order: Order | None = None


@dataclass(slots=True)
class Command:
    """The request of SendCommand, and its invocations by instance; spans are seconds of SSM's clock."""

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
    concurrency: int
    errors: int
    places: OutputPlaces
    turns: threading.BoundedSemaphore = field(init=False)

    def __post_init__(self) -> None:
        """Let as many instances as MaxConcurrency says have it at a time."""
        self.turns = threading.BoundedSemaphore(self.concurrency)

    def status(self) -> str:
        """Return the status of the whole command: the worst end, once all invocations have ended."""
        each = {invocation.status for invocation in self.invocations.values()}
        for status in ("InProgress", "Delayed", "Pending", "Cancelling"):
            if status in each:
                return "Pending" if status == "Delayed" else status
        for status in ("TimedOut", "Failed", "Cancelled"):
            if status in each:
                return status
        return "Success"

    def has_failed(self) -> bool:
        """Tell whether more invocations failed than MaxErrors allows, so that the rest gets nothing."""
        found = [each.details in _ERRORS for each in self.invocations.values()]
        return sum(found) > self.errors


class Commands:
    """All commands, and the agents that run them."""

    def __init__(self, folder: Path, options: Callable[[], Options]) -> None:
        """Keep scripts and their output below `folder`."""
        self._options = options
        self._lock = threading.Lock()
        self._commands: dict[str, Command] = {}
        self.agents = Agents(folder)
        self.outputs = Outputs()
        self.parameters: dict[str, str] = {}  # of Parameter Store

    def send(self, command: Command) -> None:
        """Start the command on its instances and return at once."""
        with self._lock:
            self._commands[command.command_id] = command
        for invocation in command.invocations.values():
            threading.Thread(
                target=self._run,
                args=(command, invocation),
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
        """Tell the agents of these instances, or of all, to end the command's script.

        An agent hears of it like of a command: when it is reached, after the delivery. What its agent has not
        received never starts.
        """
        for invocation in command.invocations.values():
            if instance_ids and invocation.instance_id not in instance_ids:
                continue
            with self._lock:
                if invocation.status in ENDED:
                    continue
                invocation.status = invocation.details = "Cancelling"
                if not invocation.received:
                    invocation.withdrawn = True
                    continue
            threading.Thread(target=self._tell, args=(invocation,), daemon=True).start()

    def _tell(self, invocation: Invocation) -> None:
        agent = self.agents.of(invocation.instance_id)
        time.sleep(self._options().ssm_delivery_seconds)
        agent.wait_until_reached()
        if invocation.order is not None:
            invocation.order.cancelled.set()

    def clear(self) -> None:
        """End every script and forget every command."""
        with self._lock:
            gone = [each for one in self._commands.values() for each in one.invocations.values()]
            for invocation in gone:
                invocation.withdrawn = True
            self._commands.clear()
            self.parameters.clear()
        for invocation in gone:
            if invocation.order is not None:
                invocation.order.abandon()
        self.agents.clear()
        self.outputs.clear()

    def _run(self, command: Command, invocation: Invocation) -> None:
        """Deliver the command to its agent, let it run, and enter what the agent reports."""
        has_turn = self._wait_for_delivery(command, invocation)
        try:
            if invocation.order is not None:
                agent = self.agents.of(invocation.instance_id)
                self._follow(command, invocation, agent, invocation.order)
        finally:
            if has_turn:
                command.turns.release()

    def _wait_for_delivery(self, command: Command, invocation: Invocation) -> bool:
        """Wait until the agent takes the command, or nobody will; tell whether it has a turn."""
        options, agent = self._options(), self.agents.of(invocation.instance_id)
        delay = options.ssm_delivery_seconds + agent.delay_seconds
        start_by = command.requested + command.delivery_seconds * options.ssm_second
        gone_by = start_by + command.execution_seconds * options.ssm_second
        has_turn = False
        while True:
            now = time.monotonic()
            has_turn = has_turn or command.turns.acquire(blocking=False)
            if invocation.withdrawn:
                self._end(invocation, "Cancelled", "Cancelled", _NOT_RUN)
                return has_turn
            if command.has_failed():
                self._end(invocation, "Cancelled", "Terminated", _NOT_RUN)
                return has_turn
            if now >= gone_by:
                self._end(invocation, "TimedOut", "DeliveryTimedOut", _NOT_RUN)
                return has_turn
            is_time = has_turn and command.requested + delay <= now < start_by
            if is_time and self._received(command, invocation, agent, options):
                return has_turn
            time.sleep(max(0.001, min(_POLL_SECONDS, command.requested + delay - now)))

    def _received(
        self, command: Command, invocation: Invocation, agent: Agent, options: Options
    ) -> bool:
        with self._lock:
            if invocation.withdrawn:
                return False
            if not agent.is_reached():
                invocation.status = invocation.details = "Delayed"
                return False
            invocation.received = True
            invocation.status = invocation.details = "InProgress"
            seconds = command.execution_seconds * options.ssm_second
            invocation.order = Order(
                command.command_id,
                command.region,
                command.script,
                command.working_directory,
                invocation.folder,
                seconds,
            )
        return True

    def _follow(self, command: Command, invocation: Invocation, agent: Agent, order: Order) -> None:
        def started() -> None:
            invocation.started_at = datetime.now(tz=UTC)

        done = agent.run(order, started)
        if done is None:  # everything was forgotten meanwhile
            return
        invocation.stdout, invocation.stderr = done.stdout, done.stderr
        self.outputs.keep(command.places, command.command_id, invocation.instance_id, done)
        details = "ExecutionTimedOut" if done.status == "TimedOut" else done.status
        self._end(invocation, done.status, details, done.code)

    def _end(self, invocation: Invocation, status: str, details: str, code: int) -> None:
        with self._lock:
            invocation.ended_at = datetime.now(tz=UTC)
            invocation.response_code = code
            invocation.status, invocation.details = status, details


def new_id() -> str:
    """Return a new command id in SSM's format."""
    return str(uuid.uuid4())
