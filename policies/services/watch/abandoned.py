"""The watchdog's work: thaw from the spool first, then enter into the rows what dead processes left undone.

The first half reads only the spool and tmpfs, and never waits for a disk, a database or a script. The
second half may wait for all of them, and runs in a thread of its own.
"""

import logging
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.db import close_old_connections
from django.db.models import Q

from n2wbackup.lib import clock, each, home, outages
from n2wbackup.lib.trust import UntrustedError
from policies.domain.document.fields import DEFAULTS
from policies.domain.runs import sequence
from policies.domain.runs.sequence import Event, State
from policies.models import Run
from policies.services import runs
from policies.services.watch import asking, asking_late
from policies.services.watch.visiting import Visitors
from policies.services.window import defects, ending, entering, late, sealing
from policies.services.window.entering import Without
from scripts_admin import linux_accounts
from scripts_admin.domain.phases import Outcome, ThawBy
from scripts_admin.guard import journal, linux, spool, thaw
from scripts_admin.guard.keeper import Guard
from scripts_admin.guard.spool import UnreadableRecordError
from scripts_admin.runners.visiting import hurry

log = logging.getLogger(__name__)

COMPLETE_GRACE = timedelta(seconds=30)  # for stopping a complete that has run into its timeout
_COMPLETE_TIMEOUT_SECONDS = DEFAULTS["complete_timeout_seconds"]  # where the policy is deleted
WAKE_AGAIN_SECONDS = 1.0  # to wake a process that is awake costs nothing


class Thawer:
    """Thaws every window of this host whose keeper is gone, and wakes a keeper that is late.

    One turn never waits.
    """

    def __init__(self, spool_folder: Path, runtime: Path) -> None:
        """Remember the two places; neither is read yet."""
        self._spool, self._runtime = spool_folder, runtime
        self._guards: list[Guard] = []
        self._visitors = Visitors(runtime)
        self._unreadable: set[Path] = set()
        self._late_at: dict[Path, float] = {}  # when a window with a keeper should be over

    def reap(self) -> bool:
        """Release the attempts that have ended; tell whether none is left."""
        for guard in [g for g in self._guards if g.is_done()]:
            guard.release()
            self._guards.remove(guard)
        return not self._guards

    def untrusted(self) -> int:
        """Return how many open windows cannot be thawed from here; the log says why."""
        return len(self._unreadable)

    def standing(self) -> int:
        """Return how many windows are open now, without touching them."""
        return sum(1 for _ in spool.open_windows(self._spool))

    def turn(self) -> int:
        """Start every attempt that is due; return how many windows are still open."""
        self.reap()
        folders = list(spool.open_windows(self._spool))
        for gone in self._late_at.keys() - set(folders):
            del self._late_at[gone]
        self._unreadable &= set(folders)
        return sum(self._look(folder) for folder in folders)

    def _look(self, folder: Path) -> bool:
        try:
            return self._look_into(folder)
        except Exception as error:  # noqa: BLE001 - one run's error must not keep another frozen
            if folder not in self._unreadable:
                log.error("run %s cannot be thawed from its spool: %s", folder.name, error)  # noqa: TRY400
            self._unreadable.add(folder)
            return True

    def _look_into(self, folder: Path) -> bool:
        try:
            lock = spool.try_lock(folder)
        except FileNotFoundError:
            return False
        if lock is None:
            with suppress(OSError, UnreadableRecordError):
                self._wake(folder)
            return True  # a live process is at it
        try:
            return self._attempt(folder, lock)
        finally:
            # The guard has its own copy by now. If there is no guard, a lock kept here would look like a live one.
            with suppress(OSError):
                os.close(lock)

    def _wake(self, folder: Path) -> None:
        """Wake the keeper of a window past its deadline: it was stopped, and its worker may be dead."""
        now = linux.boottime()
        if folder not in self._late_at:  # the earliest possible time: it may not be open yet
            self._late_at[folder] = now + spool.read(folder).max_freeze_seconds
        elif now >= self._late_at[folder]:
            opened = journal.read(self._runtime / folder.name).opened_boot
            over_at = (now if opened is None else opened) + spool.read(folder).max_freeze_seconds
            if now >= over_at:
                thaw.wake(self._runtime / folder.name)
            self._late_at[folder] = max(over_at, now + WAKE_AGAIN_SECONDS)

    def _attempt(self, folder: Path, lock: int) -> bool:
        """Start the attempt that is due; tell whether one is due now or later."""
        if spool.settle_if_confirmed(folder):
            return False
        runtime = self._runtime / folder.name
        record, standing = thaw.look(folder, runtime)
        is_asked = asking.take(self._runtime, folder.name)
        if standing.due is not None and (is_asked or standing.due.at <= linux.boottime()):
            self._thaw(folder, runtime, record, standing.due, lock)
        if standing.owed:  # last: whatever is wrong with asking, the server itself is thawed
            if is_asked:
                hurry(runtime)
            self._visitors.ask(folder, record, standing.owed)
        return standing.due is not None or bool(standing.owed)

    def _thaw(
        self, folder: Path, runtime: Path, record: spool.Record, due: thaw.NextAttempt, lock: int
    ) -> None:
        secrets = sealing.unseal(record.masks)
        itself = linux_accounts.runs_as_itself()
        own = os.dup(lock)
        self._guards.append(thaw.start(folder, runtime, own, due, secrets, as_itself=itself))


def enter_all() -> None:
    """Enter into the rows what happened to this server's runs that no process keeps any longer."""
    close_old_connections()
    asking.pass_on()
    folders = [folder for folder in spool.folders(home.spool()) if _is_of_a_run(folder)]
    resting = _resting()
    kept = [f for f in folders if f.name not in resting or _is_watched(f)]
    each.apart(kept, _enter_one, "what became of %s could not be entered")
    lost = _without_spool({folder.name for folder in folders})
    each.apart(lost, _end_lost, "run %s, whose spool is gone, could not be ended")


def _is_watched(folder: Path) -> bool:
    return (folder / spool.RECORD).exists() or late.is_on(folder)


def _is_of_a_run(folder: Path) -> bool:
    """Tell whether the folder's name is a run's id; the server makes no other, but people copy folders."""
    try:
        return str(UUID(folder.name)) == folder.name
    except ValueError:
        return False


def _resting() -> set[str]:
    """Return the runs that need no keeper, in one query: thousands may wait for their snapshots."""
    due = Q(state=State.COMPLETING, complete_started_at=None)
    rows = Run.objects.unfinished().filter(due | Q(state__in=(State.QUEUED, State.WAITING)))
    return {str(pk) for pk in rows.values_list("pk", flat=True)}


def _without_spool(spooled: AbstractSet[str]) -> Iterator[Run]:
    """Yield this server's unfinished runs whose spool is gone; `spooled` was read a moment ago.

    A folder without its lock is as good as gone: nobody can know whether a process keeps the run.
    """
    mine = Run.objects.unfinished().filter(server=home.server_id()).exclude(state=State.QUEUED)
    for pk in list(mine.values_list("pk", flat=True)):
        if str(pk) not in spooled and not os.path.lexists(home.spool() / str(pk) / spool.LOCK):
            yield from mine.filter(pk=pk)


def enter(run_id: UUID) -> None:
    """Enter what happened to one run, if no process keeps it."""
    _enter_one(home.spool() / str(run_id))


def _enter_one(folder: Path) -> None:
    try:
        _enter_trusted(folder)
    except UntrustedError as error:
        run = Run.objects.select_related("policy").filter(pk=folder.name).first()
        if run is not None and runs.is_here(run):
            _end_untrusted(run, folder, error)


def _end_untrusted(run: Run, folder: Path, error: UntrustedError) -> None:
    """Bring a run on whose folder nobody may rely: its locks do not tell whether a process keeps it."""
    if run.state == State.PREPARING:
        reason = f"Nothing was frozen or backed up, because {error}"
        runs.apply(run, Event.NOTHING_LEFT, reason, reason=reason)
    elif run.state in (State.FROZEN, State.THAWING):
        _give_up_untrusted(run, error.fact)
    elif run.state == State.COMPLETING and _is_complete_over(run):
        problem = ""
        if ending.record(folder) is None and ending.enter_interrupted(run):
            problem = f"It is not known whether complete came to its end, because {error}"
        ending.finish(run, folder, problem)


def _is_complete_over(run: Run) -> bool:
    """Tell whether complete, if it was started, must have ended by its timeout."""
    if run.complete_started_at is None:
        return False  # its hint ends the run without it
    policy, now = run.policy, clock.now()
    seconds = policy.complete_timeout_seconds if policy else _COMPLETE_TIMEOUT_SECONDS
    waited = now - run.complete_started_at
    return waited < -clock.SKEW or waited >= timedelta(seconds=seconds) + COMPLETE_GRACE


def _enter_trusted(folder: Path) -> None:
    try:
        held = spool.try_lock(folder, spool.KEEPER)
    except FileNotFoundError:
        return  # the run ended meanwhile, and its spool was removed
    if held is None:
        return
    try:
        if spool.is_held(folder):
            return
        run = Run.objects.select_related("policy").filter(pk=folder.name).first()
        runtime = home.runtime_to_thaw() / folder.name
        if run is None or not runs.is_here(run):
            _forget(folder, runtime)
        else:
            _settle_in_any_case(run, folder, runtime)
    finally:
        os.close(held)


def _forget(folder: Path, runtime: Path) -> None:
    """Remove the spool of a run that is not this server's, once nothing is due.

    Another server was faster or has taken it over, or it has no row (the database was restored).
    Keeps a record that it cannot read, for a version that can; the watchdog's log names it.
    """
    try:
        is_open = (folder / spool.RECORD).exists()
        standing = thaw.look(folder, runtime)[1] if is_open else None
    except UnreadableRecordError:
        return
    if standing is None or (standing.due is None and not standing.owed):
        spool.remove(folder, runtime)


def _settle_in_any_case(run: Run, folder: Path, runtime: Path) -> None:
    """Enter what became of the run; what cannot be entered is left out, and never keeps the run from its end."""
    try:
        _settle(run, folder, runtime)
    except outages.AWAY:
        raise
    except Exception as error:
        run.refresh_from_db()  # the row: a change that was taken back is still in this copy
        if run.state in sequence.MAY_BE_FROZEN:
            log.exception("the window of run %s could not be entered whole", run.pk)
            _enter_less(run, folder, runtime)
        elif run.state in (State.PREPARING, State.COMPLETING):
            defects.end(run.pk, error, "ended by the watchdog")
        else:
            raise


def _enter_less(run: Run, folder: Path, runtime: Path) -> None:
    """Enter the window without the texts of its scripts, else without its results; else a person has to look."""
    problem = ""
    for without in (Without.TEXTS, Without.RESULTS):
        run.refresh_from_db()
        try:
            if run.state == State.FROZEN:
                entering.lost_shots(run)
            entering.thaw(run, folder, runtime, without=without)
        except outages.AWAY:
            raise
        except Exception as error:
            log.exception("the window of run %s could not be entered with less", run.pk)
            problem = outages.named(error)
        else:
            return
    run.refresh_from_db()
    reason = (
        f"The server cannot see whether the run is thawed ({problem}): thaw by hand and confirm it."
    )
    _give_up(run, reason)


def _settle(run: Run, folder: Path, runtime: Path) -> None:
    if run.state == State.PREPARING:
        # Its window was never ordered, so nothing is left to thaw, whatever a lost journal suggests. And no after
        # may follow once another server has the run.
        spool.settle(folder)
        runs.lose(run, "its worker died")
    elif run.state in (State.FROZEN, State.THAWING):
        if run.state == State.FROZEN:
            _enter_calls(run, runtime)
        try:
            entering.thaw(run, folder, runtime)
        except UnreadableRecordError as error:
            _give_up_untrusted(run, str(error))
    elif run.state == State.COMPLETING and run.complete_started_at:
        ending.finish(run, folder)
    elif run.server_gone_at is not None and _is_still_to_thaw(run, folder, runtime):
        pass  # the run went on while this server was gone; what it left frozen is thawed all the same
    elif late.is_on(folder):
        asking_late.turn(run, folder, runtime)
    elif run.ended_at is not None:
        spool.remove(folder, runtime)
    else:
        spool.settle(folder)


def _is_still_to_thaw(run: Run, folder: Path, runtime: Path) -> bool:
    """Tell whether the watchdog still has to thaw a run that was given up; report it when it has thawed."""
    if not (folder / spool.RECORD).exists():
        return False
    try:
        standing = thaw.look(folder, runtime)[1]
    except UnreadableRecordError:
        return False
    afters = journal.read(runtime).afters
    is_owed = standing.due is not None or bool(standing.owed)
    if not is_owed and afters and afters[-1].settled == Outcome.SUCCEEDED:
        how = f"The server of run {run.pk} is back, and after has succeeded: {run.label} is thawed."
        runs.unmark(run, how, clock.now())
        runs.record(run, "the server is back, and after has succeeded")
    return is_owed


def _enter_calls(run: Run, runtime: Path) -> None:
    if journal.read(runtime).opened or not (runtime / journal.NAME).exists():
        entering.lost_shots(run)
    else:
        entering.shots(run, runtime, [])


def _end_lost(run: Run) -> None:
    try:
        _lost_spool(run)
    except outages.AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - a run always ends
        defects.end(run.pk, error, "ended by the watchdog")


def _lost_spool(run: Run) -> None:
    """End a run that has lost its spool: no process here can thaw it, and the run's history says so."""
    if run.state == State.PREPARING:
        runs.lose(run, "its worker died")
    elif run.state in (State.FROZEN, State.THAWING):
        entering.lost_shots(run)
        _give_up(
            run,
            "The spool of the run is gone, so the server cannot thaw: thaw by hand and confirm it.",
        )
    elif run.state == State.COMPLETING and run.complete_started_at:
        ending.finish(run, home.spool() / str(run.pk))


def _give_up_untrusted(run: Run, why: str) -> None:
    if run.state == State.FROZEN:
        entering.lost_shots(run)
    _give_up(run, f"The server cannot thaw the run, because {why}: thaw by hand and confirm it.")


def _give_up(run: Run, reason: str) -> None:
    """Mark a run that no process here can thaw: a person has to, and gets an alarm."""
    runs.apply(run, Event.GIVEN_UP, reason, reason=reason, thaw_by=ThawBy.LOST)
