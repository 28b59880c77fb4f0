"""The processes that a run's scripts left behind: found by their session, and by the run's id in their environment.

A script may leave a process on purpose, such as a client that holds a lock until after ends it. So this is asked when
the run is over and no script of it is running.
"""

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts_admin.guard import linux
from scripts_admin.guard.linux import Process

SETTLE_SECONDS = 1.0  # what after ended may need so long to disappear
TERM_GRACE_SECONDS = 1.0
AT_MOST = 100  # more processes than this are not named one by one
_LOOK_SECONDS = 0.05
_PROC = Path("/proc")
_STATE, _GROUP, _SESSION, _START = 0, 2, 3, 19
_MARK = b"N2W_RUN_ID="
_LONGEST_ENVIRONMENT = 4 * 1024 * 1024
_PORTION = 64 * 1024


@dataclass(frozen=True, slots=True)
class Left:
    """A process that was left behind; `seconds` is its age."""

    process: Process
    name: str
    seconds: float


def named(process: Process, name: str) -> Left:
    """Return a process that somebody else has found, with its age; 0 if the kernel does not tell it here."""
    started = process.start_ticks / os.sysconf("SC_CLK_TCK")
    return Left(process, name, max(0.0, linux.boottime() - started) if started else 0.0)


@dataclass(frozen=True, slots=True)
class Sought:
    """A run whose processes are looked for: what led its scripts' sessions, and the account that they ran as."""

    leaders: Collection[Process]
    uid: int


def find(run: str, leaders: Iterable[Process], uid: int) -> list[Left]:
    """Return what `find_all` finds of one run."""
    return find_all({run: Sought(tuple(leaders), uid)})[run]


def find_all(sought: Mapping[str, Sought]) -> dict[str, list[Left]]:
    """Return the living processes of each run's scripts, oldest first; one look is enough for many runs.

    What only has the run's id in its environment must belong to the scripts' account: anybody can copy an id.
    An environment that this process may not read tells nothing; the session is known of every process. Once its
    leader is gone and all of it with him, its number may be another session's: a process of another run is left out.
    """
    found: dict[str, list[Left]] = {run: [] for run in sought}
    for run, one in _found(sought):
        found[run].append(one)
    return {
        run: sorted(ones, key=lambda left: -left.seconds)[:AT_MOST] for run, ones in found.items()
    }


def find_settled(sought: Mapping[str, Sought]) -> dict[str, list[Left]]:
    """Return what `find_all` returns; a process that is about to end gets SETTLE_SECONDS for it."""
    until = linux.boottime() + SETTLE_SECONDS
    found = find_all(sought)
    while (some := {run: sought[run] for run, ones in found.items() if ones}) and (
        linux.boottime() < until
    ):
        time.sleep(_LOOK_SECONDS)
        found |= find_all(some)
    return found


def _is_still(leader: Process) -> bool:
    """Tell whether the number still means this leader's session: no newer process has it as its pid."""
    now = linux.identify(leader.pid)
    return leader.pid > 1 and now.start_ticks in (0, leader.start_ticks)


def _found(sought: Mapping[str, Sought]) -> Iterator[tuple[str, Left]]:
    sessions = {
        leader.pid: (run, leader)
        for run, one in sought.items()
        for leader in one.leaders
        if _is_still(leader)
    }
    uids = {one.uid for one in sought.values()}
    tick, now, own = os.sysconf("SC_CLK_TCK"), linux.boottime(), os.getpid()
    for name in os.listdir(_PROC):  # noqa: PTH208 - one call; iterdir would make a Path of each
        if not name.isdigit() or int(name) == own:
            continue
        with suppress(OSError, IndexError, ValueError):
            head, _, rest = _read(f"{_PROC}/{name}/stat").rpartition(b")")
            fields = rest.split(None, _START + 1)
            if fields[_STATE] in b"ZX":
                continue
            led = sessions.get(int(fields[_SESSION])) or sessions.get(int(fields[_GROUP]))
            uid = os.stat(f"{_PROC}/{name}").st_uid  # noqa: PTH116 - a Path of each costs more than the call
            own_run = _run_of(int(name)) if led or uid in uids else None
            if led is not None and (linux.is_alive(led[1]) or own_run in (None, led[0])):
                run = led[0]
            elif own_run and own_run in sought and sought[own_run].uid == uid:
                run = own_run
            else:
                continue
            start = int(fields[_START])
            called = head.partition(b"(")[2].decode(errors="replace")
            yield run, Left(Process(int(name), start), called, max(0.0, now - start / tick))


def _run_of(pid: int) -> str | None:
    """Return the run that the process's environment names; None if it names none, or cannot be read."""
    with suppress(OSError):
        # Nearly every process of a machine has no such word: it is looked for before the words are told apart.
        found = b"\0" + _read(f"{_PROC}/{pid}/environ", _LONGEST_ENVIRONMENT)
        if b"\0" + _MARK in found:
            return found.partition(b"\0" + _MARK)[2].partition(b"\0")[0].decode(errors="replace")
    return None


def _read(path: str, most: int = _LONGEST_ENVIRONMENT) -> bytes:
    """Return a file of the kernel's, which is short; every process has some, so nothing is built around them."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.read(opened, _PORTION)
        last = found
        while last and len(found) < most:
            last = os.read(opened, _PORTION)
            found += last
        return found[:most]
    finally:
        os.close(opened)


def end(left: Iterable[Left]) -> set[Process]:
    """End these very processes, and no other that has got one of their numbers; return those that are gone."""
    wanted = [each.process for each in left]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in wanted:
            _signal(process, number)
        until = linux.boottime() + TERM_GRACE_SECONDS
        while any(map(linux.is_alive, wanted)) and linux.boottime() < until:
            time.sleep(_LOOK_SECONDS)
    return {process for process in wanted if not linux.is_alive(process)}


def _signal(process: Process, number: signal.Signals) -> None:
    """Signal a process by a descriptor of it, so that its number cannot become another's in between."""
    with suppress(OSError):
        descriptor = os.pidfd_open(process.pid)
        try:
            if linux.is_alive(process):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
