"""A run at its complete: its locks, its record and the guard of its script, from the claim to the end."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from n2wbackup.lib import home
from policies.models import Run
from policies.selectors.worth import Worth
from policies.services import runs
from policies.services.window import ending, scripts, sealing
from policies.services.window.keeping import runtime_folder
from scripts_admin import linux_accounts
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import keeper, linux, spool
from scripts_admin.guard.keeper import GuardLostError
from scripts_admin.guard.spool import ScriptCommand

log = logging.getLogger(__name__)

_LOST = "the guard of complete of run %s was lost"
ANSWER_SECONDS = 15.0
LOCK_SECONDS = 3.0
# What ends at nearly the same time is entered with one commit.
LINGER_SECONDS = 0.05
AT_MOST_SECONDS = 0.25


@dataclass(slots=True, eq=False)
class Flight:
    """A run between the taking of its locks and its end. Whoever made one closes it, whatever happens."""

    run: Run
    folder: Path = field(default_factory=Path)
    command: ScriptCommand | None = None
    known: Worth | None = None
    argument: str = "0"
    _secrets: Sequence[bytes] = ()
    guard: keeper.Guard | None = None
    until: float = 0.0
    _held: int | None = None
    _lock: int | None = None

    def prepare(self) -> bool:
        """Take the run's locks and read its record; False if another process has one of them."""
        home.verify()
        self.folder, self._held = spool.keep(home.spool(), str(self.run.pk))
        if self._held is None:
            return False
        self._lock = spool.lock_within(self.folder, LOCK_SECONDS)
        if self._lock is None:
            return False  # a guard of this run is still alive; the next hint tries again
        record = ending.record(self.folder) or _made_record(self.run, self.folder)
        self.command = record.complete if record is not None else None
        self._secrets = sealing.secrets(self.run.account)
        return True

    def start(self) -> None:
        """Start complete, if there is one; the run is claimed."""
        if self.command is None or self._lock is None:
            return
        single = (Phase.COMPLETE, self.argument, 1)
        runtime, lock = runtime_folder(self.run.pk), os.dup(self._lock)
        self.until = linux.boottime() + self.command.timeout_seconds + ANSWER_SECONDS
        try:
            itself = linux_accounts.runs_as_itself()
            self.guard = keeper.Guard(
                self.folder, runtime, lock, self._secrets, single, as_itself=itself
            )
        except (GuardLostError, OSError):
            log.exception(_LOST, self.run.pk)

    def land(self) -> None:
        """Hear that complete has ended, or give up hearing it, and free the scripts' lock."""
        try:
            if self.guard is not None:
                self.guard.wait_until_done(max(0.0, self.until - linux.boottime()))
        except (GuardLostError, OSError):
            log.exception(_LOST, self.run.pk)
        finally:
            self._release()

    def close(self) -> None:
        """Free both locks. A guard that still runs keeps its own, and ends its script."""
        self._release()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _release(self) -> None:
        if self.guard is not None:
            self.guard.release()
            self.guard = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def landed(flying: Sequence[Flight], seconds: float | None) -> list[Flight]:
    """Return those whose complete has ended, as soon as there are some; none after so many seconds (None: no limit).

    Those that may be waited for no longer are among them.
    """
    over = [one for one in flying if one.guard is None]
    patience = 0.0 if over else _patience(flying, seconds)
    until: float | None = None
    while len(over) < len(flying):
        there = {
            one.guard.fileno(): one for one in flying if one not in over and one.guard is not None
        }
        heard = set(wait([*there], patience))
        ready = [one for number, one in there.items() if number in heard or _is_late(one)]
        over += ready
        now = linux.boottime()
        until = until or now + AT_MOST_SECONDS
        if not ready or now >= until:
            break
        patience = LINGER_SECONDS
    return over


def _patience(flying: Sequence[Flight], seconds: float | None) -> float:
    first = min((one.until for one in flying), default=0.0) - linux.boottime()
    return max(0.0, first if seconds is None else min(first, seconds))


def _is_late(one: Flight) -> bool:
    return linux.boottime() >= one.until


def _made_record(run: Run, folder: Path) -> spool.Record | None:
    """Write the record of complete for a run that never had a window; a run that lost its record gets none."""
    if run.ordered_at is not None or run.policy is None:
        return None
    try:
        record = scripts.spool_record(run, run.policy, scripts.resolve(run, run.policy), folder)
        spool.write(folder, record, spool.SETTLED)
    except OSError as error:
        runs.record(
            run, f"complete cannot be run: its script could not be copied ({error.strerror})"
        )
        return None
    return ending.record(folder)
