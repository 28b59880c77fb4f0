"""What happened to one run's scripts, appended line by line to a file in tmpfs.

Within the window nothing may be written to a disk, because it may be the frozen one. tmpfs cannot be frozen,
and it is emptied exactly when the pids in it lose their meaning: at a reboot. There is one writer at a time:
the process that holds the run's lock. A journal that somebody else may have written counts as lost.
"""

import errno
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from n2wbackup.lib import trust
from n2wbackup.lib.trust import UntrustedError
from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from scripts_admin.guard import linux, mark
from scripts_admin.guard.on_instances import There

NAME = "journal"
VISITS = "visits"  # what second sessions heard; its writer holds another lock
Event = dict[str, Any]
_LATEST = 1e11  # UNIX seconds, far in the future


@dataclass(slots=True)
class Attempt:
    """One script's start and end. `at` times are UNIX seconds, `boot` times seconds since boot."""

    phase: str  # a Phase, or a word that only another version knows
    number: int
    process: linux.Process | None = None
    launched: bool = False  # by the launcher, as another account: the server may not signal it
    argument: str | None = None
    script: str = ""
    ordered_at: float | None = None
    ordered_boot: float | None = None
    ended_at: float | None = None
    ended_boot: float | None = None
    outcome: Outcome = Outcome.NOT_RUN
    exit_code: int | None = None
    ran: mark.Ran | None = None  # which file was executed, if its process could tell
    stdout: str = ""
    stderr: str = ""

    @property
    def was_ordered(self) -> bool:
        """Tell whether the script's gate was opened, so that it may have done anything at all."""
        return self.ordered_at is not None

    @property
    def settled(self) -> Outcome:
        """Return the outcome, as far as it can be known once no process keeps the script."""
        if self.was_ordered and self.ended_at is None:
            return Outcome.INTERRUPTED
        return self.outcome


@dataclass(slots=True)
class Journal:
    """What a run's journal says."""

    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    guard: linux.Process | None = None  # the last one that kept the run
    opened: bool = False
    opened_boot: float | None = None  # seconds since boot
    thaw_by: ThawBy | None = None  # None: nobody has begun to thaw
    thaw_at: float | None = None
    thaw_boot: float | None = None
    there: dict[str, There] = field(default_factory=dict)  # by instance
    visited_boot: float | None = None  # since when second sessions ask
    armed: bool = False  # it would say which instances were told to begin

    @property
    def before(self) -> Attempt | None:
        """Return before's only attempt, or None if the journal has none."""
        return self.attempts.get((Phase.BEFORE, 1))

    @property
    def afters(self) -> list[Attempt]:
        """Return the attempts of after whose gates were opened, oldest first."""
        found = [a for a in self.attempts.values() if a.phase == Phase.AFTER and a.was_ordered]
        return sorted(found, key=lambda attempt: attempt.number)

    def take(self, event: Event) -> None:
        """Take one line; KeyError, TypeError or ValueError, and nothing of it is taken, if it is not one of ours."""
        kind = event["event"]
        if kind == "opened":
            boot = event.get("boot")
            self.opened, self.opened_boot = True, None if boot is None else _seconds(boot)
        elif kind == "kept":
            self.guard = _process(event)
        elif kind == "visiting" and self.visited_boot is None:
            self.visited_boot = _seconds(event["boot"])
        elif kind == "armed":
            self.armed = True
        elif kind == "thaw":
            self.thaw_by, self.thaw_at, self.thaw_boot = (
                ThawBy.of(str(event["by"])),
                _seconds(event["at"]),
                _seconds(event["boot"]),
            )
        elif kind in _OF_AN_ATTEMPT:
            key = (str(event["phase"]), int(event["attempt"]))
            values = _OF_AN_ATTEMPT[kind](event)
            attempt = self.attempts.setdefault(key, Attempt(*key))
            for name, value in values.items():
                setattr(attempt, name, value)
        elif kind in _OF_INSTANCES:
            _OF_INSTANCES[kind](self, event)

    def of(self, instance: str) -> There:
        """Return what is known of an instance's scripts."""
        return self.there.setdefault(instance, There(instance))


def _go_there(journal: Journal, event: Event) -> None:
    at, boot = _seconds(event["at"]), _seconds(event["boot"])
    for instance in map(str, event["instances"]):
        there = journal.of(instance)
        there.go_at, there.go_boot = at, boot


def _thaw_there(journal: Journal, event: Event) -> None:
    boot = _seconds(event["boot"])
    for instance, argument in dict(event["arguments"]).items():
        there = journal.of(str(instance))
        there.told, there.told_boot = str(argument), boot


def _heard_there(journal: Journal, event: Event) -> None:
    at, boot = _seconds(event["at"]), _seconds(event["boot"])
    journal.of(str(event["instance"])).take(event, at, boot)


def _output_there(journal: Journal, event: Event) -> None:
    journal.of(str(event["instance"])).outputs[str(event["stream"])] = str(event["text"])


_OF_INSTANCES: Mapping[str, Callable[[Journal, Event], None]] = {
    "go there": _go_there,
    "thaw there": _thaw_there,
    "heard there": _heard_there,
    "output there": _output_there,
}


def _seconds(value: object) -> float:
    """Return a time that can be reckoned with; ValueError for one that no clock shows."""
    found = float(str(value))
    if not (math.isfinite(found) and 0.0 <= found <= _LATEST):
        message = f"{found} is no time"
        raise ValueError(message)
    return found


def _process(event: Event) -> linux.Process:
    return linux.Process(int(event["pid"]), int(event["start_ticks"]))


def _spawned(event: Event) -> Event:
    return {"process": _process(event), "launched": bool(event.get("launched"))}


def _ordered(event: Event) -> Event:
    argument = event["argument"]
    return {
        "ordered_at": _seconds(event["at"]),
        "ordered_boot": _seconds(event["boot"]),
        "argument": None if argument is None else str(argument),
        "script": str(event["script"]),
    }


def _ended(event: Event) -> Event:
    code = event["exit_code"]
    return {
        "ended_at": _seconds(event["at"]),
        "ended_boot": _seconds(event["boot"]),
        "outcome": Outcome.of(str(event["outcome"])),
        "exit_code": None if code is None else int(code),
        "ran": mark.of(event.get("ran")),
    }


def _output(event: Event) -> Event:
    return {"stdout": str(event["stdout"]), "stderr": str(event["stderr"])}


_OF_AN_ATTEMPT: Mapping[str, Callable[[Event], Event]] = {
    "spawned": _spawned,
    "ordered": _ordered,
    "ended": _ended,
    "output": _output,
}


def read(folder: Path) -> Journal:
    """Return the run's journal; an empty one if there is none."""
    return read_if_there(folder) or Journal()


def read_if_there(folder: Path) -> Journal | None:
    """Return the run's journal, or None if it is lost.

    A torn line is left out, and so is a line of another version that this version does not know.
    """
    text = _text(folder, NAME)
    return None if text is None else _told(Journal(), text)


def with_visits(folder: Path, known: Journal | None) -> Journal | None:
    """Add what second sessions have heard; a lost journal stays lost, but what they heard counts."""
    text = _text(folder, VISITS)
    if text is None:
        return known
    return _told(Journal(opened=True) if known is None else known, text)


def visits(folder: Path) -> Journal:
    """Return what second sessions alone have heard."""
    return _told(Journal(), _text(folder, VISITS) or "")


def _text(folder: Path, name: str) -> str | None:
    try:
        with trust.folder(folder, closed=False) as within:
            return trust.text(folder / name, within=within)
    except (FileNotFoundError, UntrustedError):
        return None


def _told(journal: Journal, text: str) -> Journal:
    for line in text.split("\n"):
        with suppress(AttributeError, KeyError, OverflowError, TypeError, ValueError):
            journal.take(json.loads(line))
    return journal


def create(folder: Path) -> None:
    """Create an empty journal; from now on a missing journal means that it was lost."""
    Writer(folder).close()


def entry(event: str, **values: object) -> Event:
    """Return a line with the current times."""
    return {"event": event, "at": time.time(), "boot": linux.boottime()} | values


class Writer:
    """Appends to a run's journal, with one write call per line: a reader never sees half of a line that is kept."""

    def __init__(self, folder: Path | None, name: str = NAME) -> None:
        """Open the journal in the run's tmpfs folder, and create the folder if it is missing; None: keep nothing."""
        self._torn = False
        if folder is None:
            self._descriptor = os.open(os.devnull, os.O_WRONLY)
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with trust.folder(folder) as within:
            with suppress(FileNotFoundError), trust.file(folder / name, within=within):
                pass
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(name, flags, 0o600, dir_fd=within)
        # A writer that was killed in the middle of a line left no newline: do not append to that line.
        self._torn = os.fstat(self._descriptor).st_size > 0

    @classmethod
    def or_none(cls, folder: Path) -> "Writer":
        """Open the journal, or one that keeps nothing if there is no room: a thaw goes on without a journal.

        What cannot be trusted makes room for a new journal: it counted as lost.
        """
        try:
            return cls(folder)
        except UntrustedError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            return cls(None)
        try:
            return cls(folder)
        except OSError:
            return cls(None)

    @classmethod
    def of_visits(cls, folder: Path) -> "Writer":
        """Open what second sessions hear, or a journal that keeps nothing: an instance is asked all the same."""
        try:
            return cls(folder, VISITS)
        except (OSError, UntrustedError):
            return cls(None)

    def note(self, event: str, **values: object) -> None:
        """Write one event if there is room: after a freeze, nothing may fail because memory is full."""
        with suppress(OSError):
            self.write(event, **values)

    def write(self, event: str, **values: object) -> None:
        """Write one event with the current times; OSError if there is no room for it."""
        self.keep(entry(event, **values))

    def keep(self, line: Event) -> None:
        """Write an entry; OSError if there is no room for it."""
        text = (b"\n" if self._torn else b"") + json.dumps(line).encode() + b"\n"
        self._torn = True
        if os.write(self._descriptor, text) == len(text):
            self._torn = False
        else:
            raise OSError(errno.ENOSPC, "the journal's line is cut short")

    def note_guard(self) -> None:
        """Write that this process keeps the run from now on."""
        guard = linux.identify(os.getpid())
        self.note("kept", pid=guard.pid, start_ticks=guard.start_ticks)

    def close(self) -> None:
        os.close(self._descriptor)
