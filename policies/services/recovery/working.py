"""Recoveries as a worker makes them: claim, one step after another, and all back again if one fails.

Each step is entered as begun before anything is said to AWS. A worker that dies leaves its claim behind; when that has
run out, a tick sends another one, which looks what AWS has and goes on. A worker that was stopped meanwhile and wakes
up has lost its claim, and writes nothing.
"""

import logging
import time
import uuid
from datetime import timedelta
from uuid import UUID

from django.db import models, transaction

from n2wbackup.lib import claims, clock, each, outages
from policies.adapters import broker, session
from policies.domain.errors import (
    AnswerLostError,
    AwsError,
    BackupError,
    NotFoundError,
    ThrottledError,
    UnreachableError,
)
from policies.domain.recovery import states, steps
from policies.domain.recovery.states import Event, State
from policies.domain.recovery.steps import Deed, Step, StepState
from policies.domain.retention.points import HoldKind
from policies.models import Account, Recovery, RecoveryResource, RecoveryStep
from policies.services.alarms import raising
from policies.services.recovery import deeds, history, loading
from policies.services.recovery.bench import Bench, may_be_shown_late
from policies.services.retention import holds
from policies.services.window import credentials

log = logging.getLogger(__name__)

CLAIM = timedelta(minutes=4)  # longer than any deed, with the SDK's own repetitions
PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=1)
LOOK = timedelta(seconds=10)
AT_ONCE = 20
TURN_SECONDS = 30.0  # for which a worker stays with one recovery
STEP_SECONDS = 0.5
GIVE_UP = timedelta(minutes=30)
_AGAIN = (ThrottledError, UnreachableError, AnswerLostError)
# AWS says so of what it has not finished yet, or not shown to all of its parts.
_NOT_YET = frozenset(
    {"IncorrectState", "IncorrectInstanceState", "IncorrectVolumeState", "InvalidAMIID.Unavailable"}
)


class LostError(Exception):
    """Another worker has this recovery now."""


def execute(recovery_id: UUID) -> None:
    """Go on with a recovery, if it is due and nobody else has it. Whatever goes wrong, it comes to an end."""
    recovery = _claim(recovery_id)
    if recovery is None:
        return
    try:
        _go_on(recovery)
    except LostError:
        return
    except outages.AWAY:
        raise
    except Exception as error:
        log.exception("recovery %s met an error", recovery)
        said = f"This met an error that nobody foresaw ({outages.named(error)}): look at the server's log."
        _fail_or_wait(recovery, said)


def tick() -> int:
    """Send workers to what is due."""
    due = Recovery.objects.filter(claims.due(clock.now(), CLAIM), ended_at=None).order_by("next_at")
    return each.apart(list(due.values_list("pk", flat=True)[:AT_ONCE]), _send, "recovery %s")


def _send(recovery_id: UUID) -> bool:
    broker.send(broker.RECOVERY, recovery_id)
    return True


def _claim(recovery_id: UUID) -> Recovery | None:
    now, claim = clock.now(), uuid.uuid4()
    free = Recovery.objects.filter(claims.due(now, CLAIM), pk=recovery_id, ended_at=None)
    if not free.update(claim=claim, next_at=now + CLAIM):
        return None
    found = Recovery.objects.select_related("account__owner", "policy", "run", "owner")
    return found.get(pk=recovery_id)


def _hold_on(recovery: Recovery) -> None:
    """Make the claim longer; LostError if somebody else has it."""
    mine = Recovery.objects.filter(pk=recovery.pk, claim=recovery.claim, ended_at=None)
    if not mine.update(next_at=clock.now() + CLAIM):
        raise LostError


def _save(recovery: Recovery, **columns: object) -> None:
    mine = Recovery.objects.filter(pk=recovery.pk, claim=recovery.claim)
    if not mine.update(**columns):
        raise LostError
    for name, value in columns.items():
        setattr(recovery, name, value)


def _go_on(recovery: Recovery) -> None:
    if recovery.account is None:
        _end(recovery, Event.FAIL, "The account was deleted, so AWS cannot be asked any more.")
        return
    if recovery.account.owner_id != recovery.owner_id:
        _end(recovery, Event.FAIL, _whose(recovery, recovery.account))
        return
    given = credentials.of(recovery.account)
    bench = Bench(recovery, session.cloud(given), session.making(given))
    if recovery.state == State.QUEUED:
        _begin(recovery)
    until = time.monotonic() + TURN_SECONDS
    while recovery.state == State.WORKING:
        recovery.refresh_from_db(fields=["cancelled_by"])
        step = _next(recovery)
        if recovery.cancelled_by and not recovery.ending and not _cannot_be_stopped(recovery, step):
            _take_back(recovery, State.CANCELLED, f"{recovery.cancelled_by} cancelled it.")
            step = _next(recovery)
        if step is None:
            _through(recovery)
        elif not _step(bench, recovery, step):
            return
        elif time.monotonic() > until:
            _release(recovery, PAUSE)
            return
    if recovery.state == State.INITIALIZING:
        _look(bench, recovery)


def _whose(recovery: Recovery, account: Account) -> str:
    """Say that the account is somebody else's by now: nobody goes on in it, nor takes back what was made there."""
    stays = left(recovery)
    there = f" What it made stays there: {', '.join(stays)}." if stays else ""
    return (
        f"The account {account.name} no longer belongs to {recovery.owner_name}, so nothing more is done "
        f"with it.{there}"
    )


def _next(recovery: Recovery) -> RecoveryStep | None:
    return recovery.steps.filter(state__in=(StepState.PLANNED, StepState.BEGUN)).first()


def _cannot_be_stopped(recovery: Recovery, step: RecoveryStep | None) -> bool:
    """Tell whether AWS may be replacing a root volume: taken back before its end, all would be found as it was.

    Trouble without a lost answer is a refusal, after which AWS does nothing.
    """
    if step is None or (step.deed, step.state) != (Deed.ROOT, StepState.BEGUN):
        return False
    return bool(step.told) or recovery.trouble_since is None


def _begin(recovery: Recovery) -> None:
    now = clock.now()
    with transaction.atomic():
        _turn(recovery, Event.BEGIN, started_at=now)
        history.event(recovery, "A worker began.", now)


def _turn(recovery: Recovery, event: Event, **columns: object) -> None:
    state = states.after(State(recovery.state), event)
    if state is None:
        raise RuntimeError(f"{event} cannot happen to a recovery that is {recovery.state}")
    _save(recovery, state=state, **columns)


def _step(bench: Bench, recovery: Recovery, step: RecoveryStep) -> bool:
    """Do a step, or look how far AWS is with it. False: the recovery was released, and goes on later."""
    if step.state == StepState.PLANNED:
        with transaction.atomic():
            _hold_on(recovery)
            step.state, step.begun_at = StepState.BEGUN, clock.now()
            step.save(update_fields=["state", "begun_at"])
            history.event(recovery, _sentence(bench, step))
    else:
        _hold_on(recovery)
    step.recovery = recovery
    try:
        is_done = deeds.DEEDS[Deed(step.deed)](bench, step)
    except BackupError as error:
        return _refused(recovery, step, error)
    _hold_on(recovery)
    if is_done:
        _close(recovery, step, StepState.DONE)
        return True
    if recovery.trouble_since:
        _save(recovery, tries=0, trouble_since=None, waiting_for="")
    time.sleep(STEP_SECONDS)
    return True


def _sentence(bench: Bench, step: RecoveryStep) -> str:
    made = bench.made_by(step) if "of" in step.params else ""
    return steps.sentence(Step(Deed(step.deed), step.params), made)


def _close(recovery: Recovery, step: RecoveryStep, state: StepState, problem: str = "") -> None:
    with transaction.atomic():
        _save(recovery, tries=0, trouble_since=None, waiting_for="")
        RecoveryStep.objects.filter(pk=step.pk).update(
            state=state, ended_at=clock.now(), problem=problem
        )
        if problem:
            history.event(recovery, problem)


def _refused(recovery: Recovery, step: RecoveryStep, error: BackupError) -> bool:
    """Try again later what may succeed then; take everything back for what will not. True: go on at once."""
    code = error.code if isinstance(error, AwsError) else ""
    since = recovery.trouble_since or clock.now()
    may_succeed = isinstance(error, _AGAIN) or code in _NOT_YET or step.takes_back
    may_succeed = may_succeed or may_be_shown_late(step, code)
    if isinstance(error, NotFoundError) and step.takes_back:
        _close(recovery, step, StepState.DONE, str(error))
        return True
    if isinstance(error, UnreachableError | AnswerLostError):
        history.told(step, lost=str(error))
    if may_succeed and clock.now() - since < GIVE_UP:
        _save(recovery, tries=recovery.tries + 1, trouble_since=since, waiting_for=str(error))
        _release(recovery, min(PAUSE * 2 ** min(recovery.tries, 10), LONGEST_PAUSE))
        return False
    # Together: after a failed step whose way back is not planned, the next step would be done.
    with transaction.atomic():
        _close(recovery, step, StepState.FAILED, str(error))
        if not recovery.ending:
            _take_back(recovery, State.FAILED, str(error))
    return True


def _take_back(recovery: Recovery, ending: State, why: str) -> None:
    """Plan the steps that take back what was begun; those that were not are left out."""
    rows = list(recovery.steps.all())
    begun = [
        (row.position, Step(Deed(row.deed), row.params))
        for row in rows
        if not row.takes_back and row.begun_at is not None
    ]
    planned = steps.backward(begun)
    with transaction.atomic():
        _turn(recovery, Event.TAKE_BACK, ending=ending, reason=why, ended_at=None, made_at=None)
        left = models.Q(state__in=(StepState.PLANNED, StepState.BEGUN))
        before = models.Q(state=StepState.FAILED, takes_back=True)  # it is tried anew
        recovery.steps.filter(left | before).update(state=StepState.SKIPPED)
        first = len(rows)
        RecoveryStep.objects.bulk_create(
            RecoveryStep(
                recovery=recovery,
                position=first + number,
                deed=step.deed,
                params=dict(step.params),
                takes_back=True,
            )
            for number, step in enumerate(planned)
        )
        history.event(recovery, f"{why} What was done is taken back." if planned else why)


def take_back(recovery: Recovery, ending: State, why: str) -> None:
    """Plan it for a recovery that nobody works on; the caller has claimed it."""
    _take_back(recovery, ending, why)


def _through(recovery: Recovery) -> None:
    """All steps are behind it."""
    if recovery.ending:
        failed = recovery.steps.filter(takes_back=True, state=StepState.FAILED)
        if failed.exists():
            left = "; ".join(row.problem.rstrip(".") for row in failed)
            reason = f"{recovery.reason} Not everything could be taken back: {left}."
            _end(recovery, Event.FAIL, reason)
        else:
            _end(recovery, states.ends_by(State(recovery.ending)), recovery.reason)
        return
    now = clock.now()
    volumes = recovery.resources.filter(fate=RecoveryResource.Fate.MADE).exclude(from_snapshot="")
    if not volumes.exists():
        _save(recovery, made_at=now)
        _end(recovery, Event.LOADED, "")
        return
    with transaction.atomic():
        _turn(recovery, Event.MADE, made_at=now)
        history.event(
            recovery,
            "All is made and can be used. AWS still loads the volumes from the snapshots.",
            now,
        )


def _look(bench: Bench, recovery: Recovery) -> None:
    """See how far the volumes are loaded."""
    _hold_on(recovery)
    try:
        found = loading.look(bench)
    except BackupError as error:
        _save(recovery, tries=recovery.tries + 1, waiting_for=str(error))
        _release(recovery, LONGEST_PAUSE)
        return
    _hold_on(recovery)
    _save(recovery, full_speed_at=found.full_speed_at, tries=0, waiting_for=found.waiting_for)
    if found.is_gone:
        _end(recovery, Event.FAIL, "Everything that it made was deleted by somebody else.")
    elif found.is_loaded:
        _end(recovery, Event.LOADED, found.reason)
    else:
        _release(recovery, LOOK)


def _release(recovery: Recovery, pause: timedelta) -> None:
    _save(recovery, next_at=clock.now() + pause)


def _fail_or_wait(recovery: Recovery, said: str) -> None:
    """Take everything back after an error of this server; while that goes on, try again later."""
    recovery.refresh_from_db(fields=["state", "ending", "tries", "trouble_since", "ended_at"])
    try:
        if recovery.state == State.WORKING and not recovery.ending:
            _take_back(recovery, State.FAILED, said)
            _release(recovery, PAUSE)
        elif recovery.trouble_since and clock.now() - recovery.trouble_since > GIVE_UP:
            _end(recovery, Event.FAIL, said)
        else:
            since = recovery.trouble_since or clock.now()
            _save(recovery, tries=recovery.tries + 1, trouble_since=since, waiting_for=said)
            _release(recovery, LONGEST_PAUSE)
    except LostError:
        return


def _end(recovery: Recovery, event: Event, reason: str) -> None:
    """Enter the end, release the restore point, and tell people of a failure."""
    now = clock.now()
    with transaction.atomic():
        _turn(recovery, event, ended_at=now, reason=reason, waiting_for="", ending="", tries=0)
        _save(recovery, trouble_since=None)
        history.event(recovery, reason or _ENDED[State(recovery.state)], now)
        drop_hold(recovery)
        if recovery.state == State.FAILED:
            raising.restore_failed(recovery, left(recovery), now)


_ENDED = {
    State.DONE: "Done: everything is at full speed.",
    State.FAILED: "It failed.",
    State.UNDONE: "Everything is as it was.",
    State.CANCELLED: "Everything is as it was.",
}


def left(recovery: Recovery) -> list[str]:
    """Return what it made that is still there, as far as this server knows."""
    rows = recovery.resources.filter(fate=RecoveryResource.Fate.MADE)
    return list(rows.values_list("resource_id", flat=True))


def drop_hold(recovery: Recovery) -> None:
    """Let the restore point go, whoever asks for it."""
    holds.drop(recovery.run_id_copied, HoldKind.RECOVERY, key=str(recovery.pk))
