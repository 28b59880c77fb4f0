"""What the kernel says about processes. A process keeps its identity here even if its pid is reused."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LONGEST = 4096  # a stat line has some 50 numbers
_STATE, _GROUP, _START = 0, 2, 19  # fields of /proc/<pid>/stat, counted after the command's ")"


def boot_id() -> str:
    """Return the kernel's id of this boot; a pid means nothing in another boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def boottime() -> float:
    """Return seconds since boot, time in suspend included; a change of the wall clock does not move it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Process:
    """A process within one boot: its pid and the tick at which it started."""

    pid: int
    start_ticks: int


def _stat(pid: int | str) -> list[str] | None:
    try:
        found = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it ended between the listing and the reading
        return None
    try:
        text = os.read(found, _LONGEST)
    except OSError:
        return None
    finally:
        os.close(found)
    return text.rpartition(b")")[2].decode("ascii").split()


def identify(pid: int) -> Process:
    """Return the process that has this pid now; its start is 0 if there is none."""
    fields = _stat(pid)
    return Process(pid, int(fields[_START]) if fields else 0)


def is_alive(process: Process) -> bool:
    """Tell whether this very process still runs; a zombie does not."""
    fields = _stat(process.pid)
    if fields is None or fields[_STATE] in "ZX":
        return False
    return int(fields[_START]) == process.start_ticks


def is_dying(process: Process) -> bool:
    """Tell whether this very process is gone or was killed, even if one of its threads still waits for a disk.

    Until that thread ends, the kernel closes no descriptor of the process, so those who watch them notice nothing.
    """
    if not is_alive(process):
        return True
    try:
        text = (_PROC / str(process.pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    lines = [line.split(":") for line in text.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return any(int(mask, 16) >> (signal.SIGKILL - 1) & 1 for _, mask in lines)


def group_is_gone(leader: Process) -> bool:
    """Tell whether the leader is gone, and no living process is left in the group that it created.

    The kernel does not reuse a pid while a group has its number. So a living leader with another start time
    proves that the group has ended.
    """
    fields = _stat(leader.pid)
    if fields is not None and int(fields[_START]) != leader.start_ticks:
        return True
    if fields is not None and fields[_STATE] not in "ZX":
        return False  # forked a moment ago: it may not have created its group yet
    for name in os.listdir(_PROC):  # noqa: PTH208 - one call; iterdir would make a Path of each
        if not name.isdigit():
            continue
        member = _stat(name)
        if member and int(member[_GROUP]) == leader.pid and member[_STATE] not in "ZX":
            return False
    return True


def signal_group(leader: Process, number: signal.Signals) -> None:
    """Signal what is left of the leader's group, or the leader if it has none yet; never any other process.

    Who became another account (`exec sudo`) cannot be signalled: it is no error, for who calls this has to thaw.
    """
    fields = _stat(leader.pid)
    if fields is not None and int(fields[_START]) != leader.start_ticks:
        return
    with suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(leader.pid, number)
        except ProcessLookupError:
            if fields is not None:
                os.kill(leader.pid, number)
