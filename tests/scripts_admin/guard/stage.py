"""A window to play on: a script folder, a spool, a journal, and real guards; no database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import journal, linux, spool, thaw
from scripts_admin.guard.journal import Attempt, Journal
from scripts_admin.guard.keeper import Guard
from scripts_admin.guard.spool import Record, ScriptCommand

SECONDS = 30.0  # more than anything here takes; only a failure waits so long
BRIEFLY = 2.0  # a script has begun by then, also on a machine with much other work
AT_ONCE = 10.0  # a machine with much other work; what waits for a deadline waits longer
SECRET = b"wJalrXUtnFEMI-K7MDENG"


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return as soon as `true()` is; AssertionError when it never was."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    """Tell whether no living process has this pid; a zombie is gone."""
    return not linux.is_alive(linux.identify(pid))


@dataclass
class Stage:
    """One run's places. Scripts run in `folder`, and leave their marks there."""

    folder: Path
    spooled: Path
    runtime: Path

    @classmethod
    def under(cls, place: Path) -> "Stage":
        """Make the places of one run."""
        (place / "folder").mkdir()
        spooled = spool.create(place / "spool", "run")
        return cls(place / "folder", spooled, place / "runtime" / "run")

    def script(self, phase: str, body: str, shebang: str = "#!/bin/bash") -> Path:
        """Write the phase's script."""
        path = self.folder / f"{phase}_p.sh"
        path.write_text(f"{shebang}\n{body}\n")
        path.chmod(0o755)
        return path

    def mark(self, name: str) -> str:
        """Return what a script wrote to a file in its folder; "" where it did not."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def pid(self, name: str) -> int:
        """Return the pid that a script wrote down, once it has."""
        until(lambda: self.mark(name).endswith("\n"))
        return int(self.mark(name))

    def record(
        self,
        *,
        before_seconds: float = SECONDS,
        after_seconds: float = SECONDS,
        max_freeze_seconds: float = 60.0,
        collect_output: bool = True,
    ) -> Record:
        """Describe the scripts that lie in the folder; after and complete are copied to the spool."""
        seconds = {"before": before_seconds, "after": after_seconds, "complete": SECONDS}
        return Record(
            run="run",
            boot=linux.boot_id(),
            folder=str(self.folder),
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "N2W_POLICY": "p"},
            max_freeze_seconds=max_freeze_seconds,
            thaw_retry_seconds=3600.0,
            before=self._command(Phase.BEFORE, seconds),
            after=self._command(Phase.AFTER, seconds),
            complete=self._command(Phase.COMPLETE, seconds),
            collect_output=collect_output,
        )

    def _command(self, phase: Phase, seconds: dict[str, float]) -> ScriptCommand | None:
        path = self.folder / f"{phase}_p.sh"
        if not path.exists():
            return None
        paths = [str(path)]
        if phase != Phase.BEFORE:
            copy = self.spooled / phase
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o500)
            paths.append(str(copy))
        return ScriptCommand(phase, tuple(paths), seconds[phase])

    def spool(self, record: Record | None = None) -> Record:
        """Put the record down and begin the journal, as the worker does before a window."""
        record = record or self.record()
        journal.create(self.runtime)
        spool.write(self.spooled, record)
        return record

    @contextmanager
    def guarded(self, record: Record | None = None) -> Iterator[Guard]:
        """Give a guard that stands ready; what it left unthawed at the end is a failure."""
        self.spool(record)
        guard = self.guard()
        try:
            guard.wait_until_ready()
            yield guard
        finally:
            guard.release()
            until(lambda: not spool.is_held(self.spooled))

    def guard(self, single: tuple[Phase, str, int] | None = None) -> Guard:
        """Start a guard."""
        lock = spool.try_lock(self.spooled)
        assert lock is not None
        return Guard(self.spooled, self.runtime, lock, (SECRET,), single)

    def standing(self) -> thaw.Standing:
        """Judge the window."""
        return thaw.look(self.spooled, self.runtime)[1]

    def thaw(self) -> Attempt:
        """Make the attempt that is due, as the watchdog does, and return it."""
        until(lambda: not spool.is_held(self.spooled))
        due = self.standing().due
        assert due is not None
        until(lambda: linux.boottime() >= due.at)
        lock = spool.try_lock(self.spooled)
        assert lock is not None
        guard = thaw.start(self.spooled, self.runtime, lock, due, (SECRET,))
        guard.wait_until_done(SECONDS)
        guard.release()
        until(lambda: not spool.is_held(self.spooled))
        return self.attempt(Phase.AFTER, due.attempt)

    @property
    def journal(self) -> Journal:
        """Read the journal."""
        return journal.read(self.runtime)

    def attempt(self, phase: Phase, number: int = 1) -> Attempt:
        """Return what the journal tells of an attempt."""
        return self.journal.attempts[phase, number]

    def outcomes(self) -> dict[str, str]:
        """Return each phase's first outcome."""
        return {phase: a.settled for (phase, n), a in self.journal.attempts.items() if n == 1}


def keep(stage: Stage, **spans: Any) -> str:
    """Take a window from go to over, on the worker's word; return before's outcome."""
    with stage.guarded(stage.record(**spans)) as guard:
        guard.go()
        before = guard.before(SECONDS)
        assert guard.thaw(SECONDS) == "worker"
        guard.wait_until_over(SECONDS)
    return before
