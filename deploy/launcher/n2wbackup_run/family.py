"""All processes that came from a script, whatever they did to get away, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

TERM_SECONDS, KILL_SECONDS, LOOK_SECONDS = 1.0, 2.0, 0.01
_PROC = "/proc"


class Row(NamedTuple):
    """A living process, as /proc/<pid>/stat shows it."""

    parent: int
    group: int
    session: int
    start: int


def row(pid: int | str) -> Row | None:
    """Return the process; None if there is none, or only a zombie."""
    try:
        with open(f"{_PROC}/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - many times
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return Row(*(int(fields[number]) for number in (1, 2, 3, 19)))


def rows() -> dict[int, Row]:
    """Return every living process."""
    found = {int(name): row(name) for name in os.listdir(_PROC) if name.isdigit()}  # noqa: PTH208 - names only
    return {pid: each for pid, each in found.items() if each is not None}


class Family:
    """The script's group and session, its cgroup, and all that descends from `above`, a subreaper, or from these.

    `kept`: those that a former launcher saw, with their starts.
    """

    def __init__(
        self,
        pid: int,
        start: int,
        group: str = "",
        above: int = 0,
        kept: Mapping[int, int] | None = None,
    ) -> None:
        """`pid` and `start` are the script's own."""
        self.pid, self.start, self.group, self.above = pid, start, group, above
        self.kept = dict(kept or {})

    def living(self) -> dict[int, int]:
        """Return pid and start of each one that lives."""
        return self.among(rows(), self._in_group())

    def among(self, every: Mapping[int, Row], members: Collection[int] = ()) -> dict[int, int]:
        """Return those of all processes that belong to it; `members` are those of its cgroup."""
        leader = every.get(self.pid)
        # The kernel gives nobody the number of a group or a session that still lives.
        is_its_number = leader is None or leader.start == self.start
        found = {
            pid for pid, tick in self.kept.items() if pid in every and every[pid].start == tick
        }
        for pid, each in every.items():
            if pid in members or (is_its_number and self.pid in (pid, each.group, each.session)):
                found.add(pid)
        grown = found | ({self.above} - {0})
        while True:
            more = {pid for pid, each in every.items() if each.parent in grown} - grown
            if not more:
                break
            grown |= more
        return {pid: every[pid].start for pid in grown - {self.above, os.getpid()}}

    def _in_group(self) -> set[int]:
        with contextlib.suppress(OSError, ValueError):
            if self.group:
                text = Path(self.group, "cgroup.procs").read_text(encoding="ascii")
                return {int(pid) for pid in text.split()}
        return set()

    def signal(self, number: int) -> None:
        """Signal each. KILL also reaches what is forked meanwhile: all stand still before the first one dies."""
        if number != signal.SIGKILL:
            send(self.living(), number)
            return
        with contextlib.suppress(OSError):
            if self.group:
                Path(self.group, "cgroup.kill").write_text("1", encoding="ascii")
        known: set[int] = set()
        while True:
            new = set(self.living()) - known
            if not new:
                break
            send(new, signal.SIGSTOP)
            known |= new
        send(known, signal.SIGKILL)

    def end(self, between: Callable[[], object] = lambda: None) -> bool:
        """TERM, a second later KILL; tell whether all are gone. Who hangs in a write to a frozen disk stays.

        `between` is called between two looks.
        """
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        begun = now()
        while self.living():
            between()
            if now() - begun >= TERM_SECONDS + KILL_SECONDS:
                return False
            if now() - begun >= TERM_SECONDS:
                self.signal(signal.SIGKILL)
            time.sleep(LOOK_SECONDS)
        return True


def send(pids: Collection[int], number: int) -> None:
    """Signal processes; those that are gone are no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def now() -> float:
    """Return seconds since boot, time in suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
