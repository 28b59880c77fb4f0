"""The cost of a process tree: CPU time, with ended processes, and memory, by process title."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.ground import processes

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_USER, _CHILDREN_SYSTEM = 11, 14  # fields of /proc/<pid>/stat, counted behind the command's ")"


def tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    return [pid, *processes.descendants(pid)]


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Return the CPU time of each process: user and system, its own and that of children it has waited for.

    The figure of a parent includes its ended children, and so on up: the sum over a tree includes every
    process that it ever had, unless one of them was reparented to init.
    """
    found = {}
    for pid in pids:
        with suppress(OSError):
            text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
            fields = text.rpartition(")")[2].split()
            found[pid] = sum(map(int, fields[_USER : _CHILDREN_SYSTEM + 1])) / _TICKS
    return found


def title(pid: int) -> str:
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""


def kind(pid: int) -> str:
    """Return the kind of a process of the server, in the words of the page."""
    shown = title(pid)
    if "multiprocessing" in shown or shown.startswith("n2wbackup guard"):
        return "guards and scripts"
    found = shown.removeprefix("n2wbackup ").split("  ")[0]  # Valkey pads its title
    return "supervisor" if found == "serve" else found


def memory_bytes(pid: int) -> dict[str, int]:
    """Return a process's memory by the kernel's names (Rss, Pss, Private_Clean, Private_Dirty …)."""
    found = {}
    with suppress(OSError):
        for line in (
            (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        ):
            name, _, value = line.partition(":")
            found[name] = int(value.split()[0]) * 1024
    return found


def load() -> float:
    """Return the machine's load over the last minute: the processes that run or want to."""
    return os.getloadavg()[0]
