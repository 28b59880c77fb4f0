"""A window for tests: a script folder, a spool, a journal, and real guards; no database."""

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

SECONDS = 30.0  # more than anything here takes; only a failure waits this long
BRIEFLY = 2.0  # a script has begun by then, also on a machine with much other work
AT_ONCE = 10.0  # a machine with much other work; what waits for a deadline waits longer
SECRET = b"wJalrXUtnFEMI-K7MDENG"


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return as soon as `true()` is true; AssertionError if it never is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the condition never became true"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    """Tell whether no living process has this pid; a zombie does not count."""
    return not linux.is_alive(linux.identify(pid))


@dataclass
class Stage:
    """The folders of one run. Scripts run in `folder`, and write their marks there."""

    folder: Path
    spooled: Path
    runtime: Path

    @classmethod
    def under(cls, place: Path) -> "Stage":
        """Create the folders of one run."""
        (place / "folder").mkdir()
        spooled = spool.create(place / "spool", "run")
        return cls(place / "folder", spooled, place / "runtime" / "run")

    def script(self, phase: str, body: str, shebang: str = "#!/bin/bash") -> Path:
        path = self.folder / f"{phase}_p.sh"
        path.write_text(f"{shebang}\n{body}\n")
        path.chmod(0o755)
        return path

    def mark(self, name: str) -> str:
        """Return what a script wrote to a file in its folder; "" if it wrote nothing."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def pid(self, name: str) -> int:
        """Wait until a script has written its pid, and return it."""
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
        """Return the record for the scripts in the folder; after and complete are copied to the spool."""
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
        """Write the record and create the journal, as the worker does before a window."""
        record = record or self.record()
        journal.create(self.runtime)
        spool.write(self.spooled, record)
        return record

    @contextmanager
    def guarded(self, record: Record | None = None) -> Iterator[Guard]:
        """Yield a guard that is ready; if anything is not thawed at the end, the test fails."""
        self.spool(record)
        guard = self.guard()
        try:
            guard.wait_until_ready()
            yield guard
        finally:
            guard.release()
            until(lambda: not spool.is_held(self.spooled))

    def guard(self, single: tuple[Phase, str, int] | None = None) -> Guard:
        lock = spool.try_lock(self.spooled)
        assert lock is not None
        return Guard(self.spooled, self.runtime, lock, (SECRET,), single, as_itself=True)

    def standing(self) -> thaw.Standing:
        return thaw.look(self.spooled, self.runtime)[1]

    def thaw(self) -> Attempt:
        """Run the attempt that is due, as the watchdog does, and return it."""
        until(lambda: not spool.is_held(self.spooled))
        due = self.standing().due
        assert due is not None
        until(lambda: linux.boottime() >= due.at)
        lock = spool.try_lock(self.spooled)
        assert lock is not None
        guard = thaw.start(self.spooled, self.runtime, lock, due, (SECRET,), as_itself=True)
        guard.wait_until_done(SECONDS)
        guard.release()
        until(lambda: not spool.is_held(self.spooled))
        return self.attempt(Phase.AFTER, due.attempt)

    @property
    def journal(self) -> Journal:
        return journal.read(self.runtime)

    def attempt(self, phase: Phase, number: int = 1) -> Attempt:
        """Return what the journal says about an attempt."""
        return self.journal.attempts[phase, number]

    def outcomes(self) -> dict[str, str]:
        """Return the first outcome of each phase."""
        return {phase: a.settled for (phase, n), a in self.journal.attempts.items() if n == 1}


def keep(stage: Stage, **spans: Any) -> str:
    """Run a window from "go" to its end, as the worker asks; return before's outcome."""
    with stage.guarded(stage.record(**spans)) as guard:
        guard.go()
        before = guard.before(SECONDS)
        assert guard.thaw(SECONDS) == "worker"
        guard.wait_until_over(SECONDS)
    return before
