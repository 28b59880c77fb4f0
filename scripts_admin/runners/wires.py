"""What a runner needs of a command that was started on an instance, by whatever connection."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Wire(Protocol):
    """A command on an instance. Nothing here waits."""

    def fileno(self) -> int: ...

    def read(self) -> bytes: ...

    def read_errors(self) -> bytes: ...

    @property
    def is_over(self) -> bool: ...

    def send(self, data: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A far side that was started. `why_not` says why it does not answer, with what it printed instead.

    `again` asks over the same connection what became of it, in some seconds, and takes its place if nobody lives.
    """

    wire: Wire
    close: Callable[[], None]
    why_not: Callable[[bytes], str]
    again: Callable[[], Wire] | None = None


class _NoWire:
    """Stands for a wire until there is one."""

    is_over = False

    def fileno(self) -> int:
        return -1

    def read(self) -> bytes:
        return b""

    def read_errors(self) -> bytes:
        return b""

    def send(self, data: bytes) -> bool:
        return not data


NOT_YET = Begun(_NoWire(), lambda: None, lambda _: "")
