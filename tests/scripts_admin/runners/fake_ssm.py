"""An SSM in memory for the runner: tests/contract/test_ssm.py checks the real adapter against the same Protocol."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from scripts_admin.runners.ssm import Invocation, Printed


@dataclass
class FakeSsm:
    """`refusals` are raised by the next calls of `send`; `looks` counts the questions."""

    sent: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    rows: dict[tuple[str, str], Invocation] = field(default_factory=dict)
    refusals: list[Exception] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    looks: list[tuple[str, ...]] = field(default_factory=list)
    hidden: bool = False

    def send(self, instance_ids: Sequence[str], text: str, comment: str) -> str:
        assert comment
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.append((tuple(instance_ids), text))
        command_id = f"c{len(self.sent)}"
        for each in instance_ids:
            self.rows[command_id, each] = Invocation(command_id, each, "Pending", "Pending", "")
        return command_id

    def look(self, command_ids: Sequence[str]) -> list[Invocation]:
        self.looks.append(tuple(command_ids))
        if self.troubles:
            raise self.troubles.pop(0)
        rows = [] if self.hidden else list(self.rows.values())
        return [row for row in rows if row.command_id in command_ids]

    def printed(self, command_id: str, instance_id: str) -> Printed:
        return Printed(self.rows[command_id, instance_id].text, is_cut=False)

    def end(self, command_id: str, instance: str, text: str, status: str = "Success") -> None:
        """Let a command end on an instance, having printed this."""
        row = self.rows[command_id, instance]
        self.rows[command_id, instance] = replace(row, status=status, details=status, text=text)

    def begin(self, command_id: str, instance: str) -> None:
        self.end(command_id, instance, "", "InProgress")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
