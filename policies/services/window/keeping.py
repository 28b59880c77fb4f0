"""One window as the worker sees it: claim, prepare, freeze, fire, thaw, enter.

The guard runs the scripts; this side fires between them. Between "go" and the end of after, this
module does not write, log, or take a lock that others hold: the frozen disk may be the server's own.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.db import close_old_connections

from n2wbackup.lib import clock, home, outages
from n2wbackup.lib.home import RuntimeFolderError
from n2wbackup.lib.trust import UntrustedError
from policies.domain.errors import BackupError, ThrottledError
from policies.domain.runs.sequence import Event
from policies.models import Policy, Run
from policies.services import claiming, runs
from policies.services.alarms import sealed_urls
from policies.services.window import (
    at_once,
    defects,
    entering,
    preparing,
    reaching,
    scripts,
    sealing,
    waiting,
)
from policies.services.window.preparing import Deferred, Plan
from policies.services.window.reaching import Reached
from policies.services.window.volley import Volley
from scripts_admin import linux_accounts
from scripts_admin.domain.phases import FINE, Phase
from scripts_admin.guard import instances, journal, keeper, linux, spool, thaw
from scripts_admin.guard.keeper import Guard, GuardLostError, RefusedError

log = logging.getLogger(__name__)

LOCK_SECONDS = 3.0
THROTTLED_PAUSE = timedelta(seconds=10)
THROTTLED_FOR = timedelta(minutes=10)  # after this, a refusal by AWS ends the run
ENTER_PAUSES_SECONDS = (1, 2, 5, *[10] * 60)
ANSWER_SECONDS = 5.0  # a guard answers in microseconds; after this it is stuck and counts as lost
THAW_RESERVE_SECONDS = 2.0  # the calls stop so long before the guard's own deadline


def execute(run_id: UUID, *, draining: Callable[[], bool] = lambda: False) -> bool:
    """Take a queued run through its window; False if another process has it, or if this one opens none now.

    An error that no step foresaw ends the run; if the window is open by then, it is thawed first.
    """
    held: int | None = None
    run = None if draining() else claiming.queued(run_id)
    if run is None:
        return False  # without this, each lost race would leave a folder behind
    try:
        if waiting.holds_back(run):
            return True
        home.verify()
        # The lock first: the clerk must not take a run that was claimed a moment ago for one without a keeper.
        # If another server wins the claim, the clerk removes what was made here.
        folder, held = spool.keep(home.spool(), str(run_id))
        if held is None or not claiming.claim(run):
            return False
        _keep(run, folder, draining)
    except outages.AWAY:
        raise
    except UntrustedError as error:
        _refuse(run_id, str(error))
    except Exception as error:  # noqa: BLE001 - a run always ends
        defects.end(run_id, error, "taken through its window")
    finally:
        if held is not None:
            os.close(held)
    return True


def runtime_folder(run_id: object) -> Path:
    """Return the run's folder in tmpfs; on disk only where a thaw has no other."""
    return home.runtime_to_thaw() / str(run_id)


def _refuse(run_id: UUID, problem: str) -> None:
    """End a queued run: what it would execute and believe may be somebody else's."""
    run = claiming.take(run_id)
    if run is not None:
        reason = f"Nothing was frozen or backed up, because {problem}"
        runs.apply(run, Event.NOTHING_LEFT, reason, reason=reason)


def _keep(run: Run, folder: Path, draining: Callable[[], bool]) -> None:
    try:
        plan = preparing.prepare(run)
    except ThrottledError as error:
        _throttled(run, str(error))
        return
    except BackupError as error:
        runs.apply(run, Event.NOTHING_LEFT, str(error), reason=str(error))
        return
    except outages.AWAY as error:
        log.warning("the database was away while run %s was prepared: %s", run.pk, error)
        _insist(lambda: runs.lose(run, "the database was away"))
        return
    except Exception as error:  # noqa: BLE001 - as in `execute`, but the sentence is more exact
        defects.end(run.pk, error, "prepared")
        return
    if isinstance(plan, Deferred):
        waiting.defer(run, plan.reason, plan.until, plan.waits_on)
        return
    scripts.tell(run, plan.scripts)
    for problem in plan.problems:
        runs.record(run, problem)
    if not _is_worth_a_window(plan):
        _end_early(plan)
        return
    if not draining():
        _open(plan, folder)
    else:
        runs.apply(
            run, Event.DEFERRED, "the server is stopping; a worker takes the run after the restart"
        )


def _throttled(run: Run, sentence: str) -> None:
    """Let the run wait if AWS only throttles; nothing is frozen yet."""
    now = clock.now()
    if now - run.created_at < THROTTLED_FOR:
        waiting.defer(run, sentence, now + THROTTLED_PAUSE, {})
    else:
        runs.apply(run, Event.NOTHING_LEFT, sentence, reason=sentence)


def _is_worth_a_window(plan: Plan) -> bool:
    if plan.run.is_test and plan.run.test_phase == Phase.AFTER:
        return True  # something may be frozen: whatever AWS refuses, or lacks, is no reason not to thaw it
    if plan.run.is_test:
        return not plan.problems and plan.run.test_phase != Phase.COMPLETE
    return bool(plan.shots)


def _end_early(plan: Plan) -> None:
    """Go to complete without a window: there is nothing to back up, or only complete is tested."""
    run = plan.run
    reason = " ".join(plan.problems)
    runs.apply(run, Event.NOTHING_LEFT, reason or "no window is needed", reason=reason)


def _open(plan: Plan, folder: Path) -> None:
    """Order the window: record, guard, row, in this order, then go."""
    run, runtime = plan.run, runtime_folder(plan.run.pk)
    with Volley(plan.cloud, plan.shots) as volley, reaching.reached(plan) as there:
        guard = _start_guard(plan, folder, runtime, there)
        if guard is None:
            return
        _aim(volley, guard)
        if not _order(run, guard):
            guard.release()  # cancelled meanwhile; before has not started
            spool.settle(folder)
            return
        lost, error = _held(plan, folder, runtime, volley, guard)
        fired = volley.read()
    if error is not None:
        _insist(lambda: entering.lost_shots(run, entering.broken(error)))
    why_not = entering.GUARD_LOST if lost else entering.NOT_FIRED
    are_all = len(fired) == len(plan.shots)
    if (
        are_all
        and error is None
        and not lost
        and _insist(lambda: at_once.enter(run, folder, runtime, fired))
    ):
        return
    _insist(lambda: entering.shots(run, runtime, fired, why_not, are_all=are_all))
    _insist(lambda: entering.thaw(run, folder, runtime))


def _held(
    plan: Plan, folder: Path, runtime: Path, volley: Volley, guard: Guard
) -> tuple[bool, Exception | None]:
    """Hold the window; tell whether its guard was lost, and return an error that no step foresaw.

    After such an error the guard thaws by itself, at once.
    """
    lost = False
    try:
        try:
            _hold(plan.policy, guard, volley)
        except GuardLostError:
            lost = True
            _take_over(plan, folder, runtime, volley, kept_by=guard)
    except Exception as error:
        guard.release()  # first: a line of the log may wait for the frozen disk
        log.exception("the window of run %s met an error and was thawed", plan.run.pk)
        return lost, error
    finally:
        guard.release()
    return lost, None


def _aim(volley: Volley, guard: Guard) -> None:
    """Prepare the calls as late as possible: what is signed grows old."""
    try:
        volley.aim()
    except BaseException:
        guard.release()  # as below
        raise


def _order(run: Run, guard: Guard) -> bool:
    """Enter that the window opens; False if the run was cancelled meanwhile."""
    try:
        return runs.apply(
            run,
            Event.ORDERED,
            "the window opens",
            expected={"cancel_requested_at": None},
            ordered_at=clock.now(),
            waiting_for="",
            waiting_since=None,
        )
    except BaseException:
        guard.release()  # else the guard waits for "go" as long as a reference to the error exists
        raise


def _insist(enter: Callable[[], object]) -> object:
    """Enter what happened, and wait while the database is away: only this process knows AWS's answers."""
    for pause in ENTER_PAUSES_SECONDS:
        try:
            return enter()
        except outages.AWAY as error:
            log.warning("the database is away; the window's results are entered later: %s", error)
            close_old_connections()
            time.sleep(pause)
    return enter()


def _start_guard(plan: Plan, folder: Path, runtime: Path, there: Reached) -> Guard | None:
    """Return a guard whose scripts wait at their gates; None, and the run ended, if that failed."""
    run = plan.run
    if run.spooled_at is None and not runs.note_spool(run):
        return None
    lock = spool.lock_within(folder, LOCK_SECONDS)
    guard: Guard | None = None
    try:
        if lock is None:
            raise GuardLostError("lock")  # noqa: TRY301 - one exit for every failure here
        with _closed_on_failure(lock):
            record = scripts.spool_record(run, plan.policy, plan.scripts, folder)
            record = replace(record, instances=there.instances)
            spool.remove(runtime)
            home.runtime()  # a window needs its journal in memory; only a thaw takes another
            journal.create(runtime)
            has_receivers = run.around.get("has_receivers", True)
            sealed_urls.write(folder, plan.policy, has_receivers=has_receivers)
            if there.visits:
                spool.keep_json(folder, spool.VISITS, there.visits)
            spool.write(folder, record)
        itself = linux_accounts.runs_as_itself()
        masks = sealing.secrets(run.account)
        given = there.hand_over()
        guard = keeper.Guard(folder, runtime, lock, masks, as_itself=itself, carriers=given)
        if not guard.wait_until_ready():
            log.warning(
                "the guard was not preloaded: windows take more time and memory than necessary"
            )
    except Exception as error:
        if guard is not None:
            guard.release()  # else it keeps the run's lock and waits for "go"
        if isinstance(error, outages.AWAY):
            raise
        if not isinstance(error, GuardLostError | RuntimeFolderError | OSError):
            log.exception("the guard of run %s could not be started", run.pk)
        spool.settle(folder)
        said = isinstance(error, (RuntimeFolderError, UntrustedError, RefusedError))
        what = str(error).removesuffix(".") if said else repr(error)
        reason = f"The guard of the window could not be started ({what}): nothing was frozen."
        runs.apply(run, Event.NOTHING_LEFT, reason, reason=reason)
        return None
    return guard


@contextmanager
def _closed_on_failure(lock: int) -> Iterator[None]:
    """Free the lock if the block fails: a process without a guard would keep it for ever."""
    try:
        yield
    except BaseException:
        os.close(lock)
        raise


def _hold(policy: Policy, guard: Guard, volley: Volley) -> None:
    """The window itself. Nothing is written from here to the return."""
    until = linux.boottime() + policy.max_freeze_seconds - THAW_RESERVE_SECONDS
    guard.go()
    before = guard.before(policy.max_freeze_seconds)
    if not policy.skip_snapshots_when_before_fails:
        volley.fire(until)
    elif before in FINE:
        failed = {name for name, outcome in guard.instances.items() if outcome not in FINE}
        volley.fire(until, without=failed)
    guard.thaw(policy.max_freeze_seconds + ANSWER_SECONDS)
    there = policy.after_timeout_seconds + instances.MOST_SECONDS if guard.has_instances else 0.0
    guard.wait_until_over(policy.after_timeout_seconds + 2 * ANSWER_SECONDS + there)


def _take_over(plan: Plan, folder: Path, runtime: Path, volley: Volley, *, kept_by: Guard) -> None:
    """Thaw in the dead guard's place, unless the watchdog was faster; then fire, if not done yet."""
    lock = spool.try_lock(folder)
    guard: Guard | None = None
    if lock is not None:
        guard = _thaw(plan, folder, runtime, lock)
    else:
        kept_by.wake()  # alive but silent: it thaws by itself as soon as it runs again
    if not plan.policy.skip_snapshots_when_before_fails:
        volley.fire(linux.boottime() + plan.policy.max_freeze_seconds)
    if guard is not None:
        try:
            guard.wait_until_done(4 * ANSWER_SECONDS + 60.0)
        except GuardLostError:
            log.warning("the thaw of run %s is left to the watchdog", plan.run.pk)
        guard.release()


def _thaw(plan: Plan, folder: Path, runtime: Path, lock: int) -> Guard | None:
    with _closed_on_failure(lock):
        _, standing = thaw.look(folder, runtime)
        secrets = sealing.secrets(plan.run.account)
    if standing.due is None:
        os.close(lock)
        return None
    itself = linux_accounts.runs_as_itself()
    return thaw.start(folder, runtime, lock, standing.due, secrets, as_itself=itself)
