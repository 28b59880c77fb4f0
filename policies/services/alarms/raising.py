"""Alarms raised: rows in the outbox, written in the transaction of the change that they tell of.

`services.runs` and `services.confirming` call this; nothing here decrypts, reads the spool or uses the network.
`services.delivering` sends.
"""

from datetime import datetime

from django.db.models import F, QuerySet

from n2wbackup.lib.cas import compare_and_set
from policies.domain.alarms import messages
from policies.domain.alarms.messages import AlarmKind, Message
from policies.domain.runs.sequence import State
from policies.models import Alarm, AlarmReceivers, Run
from scripts_admin.domain.phases import Phase, ThawBy

_ENDED = {
    State.FAILED: AlarmKind.FAILED,
    State.PARTIAL: AlarmKind.PARTIAL,
    State.MISSED: AlarmKind.MISSED,
}
_PINGS = {
    State.SUCCEEDED: AlarmKind.PING_SUCCESS,
    # A backup that is not whole is none to rely on, and a cancelled one was not made.
    State.PARTIAL: AlarmKind.PING_FAIL,
    State.FAILED: AlarmKind.PING_FAIL,
    State.CANCELLED: AlarmKind.PING_FAIL,
    State.MISSED: AlarmKind.PING_FAIL,
}


def started(run: Run, now: datetime) -> None:
    """Tell that a worker has taken the run for the first time."""
    if not run.is_test:
        _ping(run, AlarmKind.PING_START, now)


def may_be_frozen(run: Run, since: datetime, now: datetime, *, is_new: bool) -> None:
    """Tell that an application may be frozen. A freeze that was not told of yet is no repetition."""
    given_up = run.state != State.THAWING
    message = messages.may_be_frozen(run.label, since, str(run.pk), given_up=given_up)
    _raise(run, AlarmKind.MAY_BE_FROZEN, message, now, at_once=is_new)


def thawed(run: Run, how: str, now: datetime) -> None:
    """Tell that what may have been frozen is not any more; what was held back would be untrue now."""
    held = _held(run, AlarmKind.MAY_BE_FROZEN).first()
    if held is not None:
        how += f" It had failed {held.count} more times than was told."
        # What is due may have been told from the spool: it stays, so that the same people are told of the thaw.
        _held(run, AlarmKind.MAY_BE_FROZEN).filter(not_before__gt=now).delete()
        _held(run, AlarmKind.MAY_BE_FROZEN).update(spread_at=now)
    message = messages.recovered(run.label, str(run.pk), how)
    _raise(run, AlarmKind.RECOVERED, message, now, at_once=True)


def thawed_late(run: Run, now: datetime) -> None:
    """Tell that a window was ended by its deadline or by the loss of its keeper, where it was so."""
    if run.thaw_by in {"", ThawBy.WORKER}:
        return
    began = set(run.phases.filter(started_at__isnull=False).values_list("phase", flat=True))
    if {Phase.BEFORE, Phase.AFTER} <= began:
        message = messages.thawed_late(run.label, str(run.pk), run.thaw_by)
        _raise(run, AlarmKind.THAWED_LATE, message, now)


def ended(run: Run, now: datetime) -> None:
    """Tell how a run ended that is no test."""
    state = State(run.state)
    if state in _PINGS:
        _ping(run, _PINGS[state], now)
    if state == State.SUCCEEDED:
        _recovered(run, now)
    elif state == State.MISSED:
        message = messages.missed(run.label, str(run.pk), run.reason)
        _raise(run, AlarmKind.MISSED, message, now)
    elif state in _ENDED:
        message = messages.ended(run.label, state, str(run.pk), run.reason, run.retry_at)
        _raise(run, _ENDED[state], message, now)


def _recovered(run: Run, now: datetime) -> None:
    """Tell that a backup succeeded where the last that was told of the policy is trouble."""
    told = Alarm.objects.filter(
        policy=run.policy_id, kind__in=[*messages.TROUBLE, AlarmKind.RECOVERED]
    )
    last = told.order_by("-pk").values_list("kind", "run").first()
    # A mark is taken away by a thaw; of this very run nobody has been told anything but its late thaw.
    if last is None or last[0] == AlarmKind.RECOVERED or last[1] == run.pk:
        return
    marked = told.filter(policy__may_be_frozen_since__isnull=False)
    if last[0] == AlarmKind.MAY_BE_FROZEN or marked.exists():
        _take_along(
            run, now
        )  # a mark stands until somebody confirms the thaw: this success is none
        return
    how = f"Run {run.pk} of {run.label} succeeded."
    lately = told.filter(kind=AlarmKind.RECOVERED, not_before__gt=now - messages.REPEAT)
    if not lately.exists():
        how += _take_along(run, now)
    _raise(run, AlarmKind.RECOVERED, messages.recovered(run.label, str(run.pk), how), now)


def _take_along(run: Run, now: datetime) -> str:
    """Remove the failures that are held back, as they would be told after their recovery; return a sentence on them."""
    mine = Alarm.objects.filter(policy=run.policy_id, kind__in=_ENDED.values())
    held = mine.filter(spread_at=None, not_before__gt=now)
    untold = sum(held.values_list("count", flat=True))
    held.delete()
    return f" It had gone wrong {untold} more times than was told." if untold else ""


def _raise(
    run: Run, kind: AlarmKind, message: Message, now: datetime, *, at_once: bool = False
) -> None:
    """Add the alarm, or count it in one that is held back; see `alarms.REPEAT`."""
    _take_back_recovery(run, kind, now)
    rows = Alarm.objects.filter(policy=run.policy_id, kind=kind)
    last = rows.order_by("-pk").first() if run.policy_id else None
    not_before = now
    if last is not None and not at_once:
        # A recovery that is due tells of another one: of a thaw.
        is_open = last.spread_at is None and (kind != AlarmKind.RECOVERED or last.not_before > now)
        if is_open and _count_in(last, run, message):
            return
        not_before = max(now, min(last.not_before, now) + messages.REPEAT)
    Alarm.objects.create(
        kind=kind,
        policy_id=run.policy_id,
        owner_id=run.owner_id,
        run=run,
        label=run.label,
        title=message.title,
        text=message.text,
        created_at=now,
        not_before=not_before,
    )


def _take_back_recovery(run: Run, kind: AlarmKind, now: datetime) -> None:
    """Remove a recovery that is not true any more. One that is due was true: it is told, and the trouble after it."""
    untold = _held(run, AlarmKind.RECOVERED)
    if kind == AlarmKind.MAY_BE_FROZEN:
        untold.delete()
    elif kind in messages.TROUBLE:
        # By another machine's clock what is due may not be due yet: what is held back was so from the first.
        untold.filter(not_before__gt=now).exclude(not_before=F("created_at")).delete()


def _count_in(held: Alarm, run: Run, message: Message) -> bool:
    """Count the alarm in one that was not sent yet, which tells of the last; False where it was sent by now."""
    return compare_and_set(
        Alarm.objects.filter(pk=held.pk),
        {"spread_at": None},
        count=F("count") + 1,
        run=run,
        title=message.title,
        text=message.text,
    )


def _held(run: Run, kind: AlarmKind) -> QuerySet[Alarm]:
    return Alarm.objects.filter(policy=run.policy_id, kind=kind, spread_at=None)


def _ping(run: Run, kind: AlarmKind, now: datetime) -> None:
    if not AlarmReceivers.objects.filter(policy=run.policy_id, has_ping=True).exists():
        return
    Alarm.objects.create(
        kind=kind,
        policy_id=run.policy_id,
        owner_id=run.owner_id,
        run=run,
        label=run.label,
        created_at=now,
        not_before=now,
    )
