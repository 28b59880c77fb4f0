"""Raising alarms: rows in the outbox, written in the transaction of the change that they report.

`services.runs` and `services.watch.confirming` call this; nothing here decrypts, reads the spool or
uses the network. `services.alarms.delivering` sends.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from n2wbackup.lib.cas import compare_and_set
from policies.domain.alarms import messages
from policies.domain.alarms.messages import AlarmKind, Message
from policies.domain.runs.sequence import MAY_BE_FROZEN, State
from policies.models import Alarm, AlarmReceivers, Policy, Recovery, Run, Server
from policies.services.alarms import muting
from scripts_admin.domain.phases import Phase, ThawBy

_ENDED = {
    State.FAILED: AlarmKind.FAILED,
    State.PARTIAL: AlarmKind.PARTIAL,
    State.MISSED: AlarmKind.MISSED,
}
_PINGS = {
    State.SUCCEEDED: AlarmKind.PING_SUCCESS,
    # Nobody can rely on a backup that is not whole, and a cancelled run made none.
    State.PARTIAL: AlarmKind.PING_FAIL,
    State.FAILED: AlarmKind.PING_FAIL,
    State.CANCELLED: AlarmKind.PING_FAIL,
    State.MISSED: AlarmKind.PING_FAIL,
}


def started(run: Run, now: datetime) -> None:
    """Report that a worker has taken the run for the first time."""
    if not run.is_test:
        _ping(run, AlarmKind.PING_START, now)


def may_be_frozen(run: Run, since: datetime, now: datetime, *, is_new: bool) -> None:
    """Report that an application may be frozen; at once if the freeze `is_new`, as that is no repetition."""
    if run.server_gone_at is not None:
        server = Server.objects.filter(pk=run.server).first()
        message = messages.server_gone(run.label, since, str(run.pk), str(server or run.server))
        _raise(run, AlarmKind.MAY_BE_FROZEN, message, now, at_once=run.state in MAY_BE_FROZEN)
        return
    given_up = run.state != State.THAWING
    message = messages.may_be_frozen(run.label, since, str(run.pk), given_up=given_up)
    _raise(run, AlarmKind.MAY_BE_FROZEN, message, now, at_once=is_new)


def thawed(run: Run, how: str, now: datetime) -> None:
    """Report the thaw, and drop the 'may be frozen' alarms that are held back: they are no longer true."""
    held = _held(run, AlarmKind.MAY_BE_FROZEN).first()
    if held is not None:
        how += f" There were {held.count} more failures that no alarm reported."
        # A due alarm may have been sent from the spool: it stays, so that the same people get the recovery.
        _held(run, AlarmKind.MAY_BE_FROZEN).filter(not_before__gt=now).delete()
        _held(run, AlarmKind.MAY_BE_FROZEN).update(spread_at=now)
    message = messages.recovered(run.label, str(run.pk), how)
    _raise(run, AlarmKind.RECOVERED, message, now, at_once=True)


def copy_failed(run: Run, where: str, reason: str, now: datetime) -> None:
    """Report a copy of the run's snapshots that was given up."""
    message = messages.copy_failed(run.label, str(run.pk), where, reason)
    _raise(run, AlarmKind.COPY_FAILED, message, now)


def copy_late(run: Run, where: str, minutes: int, now: datetime) -> None:
    """Report a copy that AWS did not complete in the time that was paid for."""
    message = messages.copy_late(run.label, str(run.pk), where, minutes)
    _raise(run, AlarmKind.COPY_LATE, message, now)


def thawed_late(run: Run, now: datetime) -> None:
    """Report a window that its deadline or the loss of its keeper ended; nothing if neither did."""
    if not was_late(run):
        return
    began = set(run.phases.filter(started_at__isnull=False).values_list("phase", flat=True))
    if {Phase.BEFORE, Phase.AFTER} <= began:
        message = messages.thawed_late(run.label, str(run.pk), run.thaw_by)
        _raise(run, AlarmKind.THAWED_LATE, message, now)


def was_late(run: Run) -> bool:
    """Tell whether anything but the worker's word began the thaw."""
    return run.thaw_by not in {"", ThawBy.WORKER}


def waits_too_long(run: Run, since: datetime, now: datetime) -> None:
    """Report, once, that a run has waited for too long."""
    if Alarm.objects.filter(run=run, kind=AlarmKind.WAITS_TOO_LONG).exists():
        return
    message = messages.waits_too_long(run.label, str(run.pk), run.waiting_for, since)
    _raise(run, AlarmKind.WAITS_TOO_LONG, message, now)


def late(longest: Run, count: int, now: datetime) -> None:
    """Report to an owner that so many of their runs are due and do not begin; of no policy, as it is the server's."""
    due = longest.scheduled_for or now
    message = messages.late(longest.owner_name, count, longest.label, due)
    _at_once(
        AlarmKind.WAITS_TOO_LONG, message, now, owner_id=longest.owner_id, label=longest.owner_name
    )


def skipped(run: Run, running: Run, count: int, now: datetime) -> None:
    """Report that a policy has skipped several due times in a row, because one of its runs has not ended."""
    message = messages.skipped(run.label, str(running.pk), running.state, count)
    _raise(run, AlarmKind.SKIPPED, message, now)


class Known(NamedTuple):
    """What is known of a policy's alarms: whether its ends are pinged, and whether it was ever in trouble."""

    is_pinged: bool
    was_in_trouble: bool


def known(policy: OuterRef) -> dict[str, Exists]:
    """Return what makes a policy's `Known`, to be asked with its row."""
    pinged = AlarmReceivers.objects.filter(policy=policy, has_ping=True)
    trouble = Alarm.objects.filter(policy=policy, kind__in=sorted(messages.TROUBLE)).order_by()
    return {"is_pinged": Exists(pinged), "was_in_trouble": Exists(trouble)}


def ended(run: Run, now: datetime, policy: Known | None = None) -> None:
    """Report the end of a run; not for tests. Nothing is asked that is known of its policy."""
    state = State(run.state)
    if state in _PINGS and (policy is None or policy.is_pinged):
        _ping(run, _PINGS[state], now)
    if state == State.SUCCEEDED:
        if policy is None or policy.was_in_trouble:
            _recovered(run, now)
    elif state == State.MISSED:
        message = messages.missed(run.label, str(run.pk), run.reason)
        _raise(run, AlarmKind.MISSED, message, now)
    elif state in _ENDED:
        message = messages.ended(run.label, state, str(run.pk), run.reason, run.retry_at)
        _raise(run, _ENDED[state], message, now)


def host_key_changed(
    run: Run, hosts: Sequence[str], reason: str, now: datetime, *, is_new: bool
) -> None:
    """Report that a run was stopped because hosts show other keys; at once if nobody was told of these keys yet."""
    message = messages.host_key_changed(run.label, hosts, reason, str(run.pk))
    _raise(run, AlarmKind.HOST_KEY, message, now, at_once=is_new)


def host_key_left_out(
    run: Run, hosts: Sequence[str], reason: str, now: datetime, *, is_new: bool
) -> None:
    """Report that a run left out the scripts on instances that show other keys; when it is told is as above."""
    message = messages.host_key_left_out(run.label, hosts, reason, str(run.pk))
    _raise(run, AlarmKind.HOST_KEY, message, now, at_once=is_new)


def enrolment(policy: Policy, message: Message, now: datetime) -> None:
    """Report what a rule of tag enrolment did; each message says something new, so none is held back."""
    _of_policy(policy, AlarmKind.ENROLMENT, message, now)


def not_proven(policy: Policy, sentences: Sequence[str], now: datetime) -> None:
    """Report instances whose drill failed; not again within an hour if it says the same."""
    message = messages.not_proven(policy.label, sentences)
    last = Alarm.objects.filter(policy=policy, kind=AlarmKind.DRILL).order_by("-pk").first()
    is_told = last is not None and now - messages.REPEAT < last.created_at <= now
    if last is None or not (is_told and last.text == message.text):
        _of_policy(policy, AlarmKind.DRILL, message, now)


def proof_failed(policy: Policy, proof: str, snapshot: str, reason: str, now: datetime) -> None:
    """Report a proof that failed; each is another snapshot or another reason, so none is held back."""
    message = messages.proof_failed(policy.label, proof, snapshot, reason)
    _of_policy(policy, AlarmKind.PROOF_FAILED, message, now)


def proof_overdue(policy: Policy, last: datetime | None, why: str, now: datetime) -> None:
    """Report a policy that has not been proven for too long, once in a day."""
    told = Alarm.objects.filter(policy=policy, kind=AlarmKind.PROOF_OVERDUE).order_by("-pk").first()
    if told is None or not now - timedelta(days=1) < told.created_at <= now:
        message = messages.proof_overdue(policy.label, policy.proof_days, last, why)
        _of_policy(policy, AlarmKind.PROOF_OVERDUE, message, now)


def restore_failed(recovery: Recovery, left: Sequence[str], now: datetime) -> None:
    """Report a recovery that failed; somebody waits for each."""
    message = messages.restore_failed(
        recovery.label, recovery.subject, str(recovery.pk), recovery.reason, left
    )
    of = {"policy_id": recovery.policy_id, "owner_id": recovery.owner_id}
    _at_once(AlarmKind.RESTORE, message, now, **of, label=recovery.label)


def _of_policy(policy: Policy, kind: AlarmKind, message: Message, now: datetime) -> None:
    of = {"policy_id": policy.pk, "owner_id": policy.owner_id}
    _at_once(kind, message, now, **of, label=policy.label)


def _at_once(kind: AlarmKind, message: Message, now: datetime, **of: Any) -> None:  # noqa: ANN401 - values of columns
    """Enter an alarm that is told now, and that no other one holds back."""
    told = {"title": message.title, "text": message.text, "created_at": now, "not_before": now}
    Alarm.objects.create(kind=kind, **told, **of)


def _recovered(run: Run, now: datetime) -> None:
    """Report that a backup succeeded, if the last alarm of the policy was a problem."""
    told = Alarm.objects.filter(
        policy=run.policy_id, kind__in=[*messages.TROUBLE, AlarmKind.RECOVERED]
    )
    last = told.order_by("-pk").values_list("kind", "run").first()
    # Only a thaw removes a mark; the only alarm of this same run can be its late thaw.
    if last is None or last[0] == AlarmKind.RECOVERED or last[1] == run.pk:
        return
    marked = told.filter(policy__may_be_frozen_since__isnull=False)
    if last[0] == AlarmKind.MAY_BE_FROZEN or marked.exists():
        _take_along(
            run, now
        )  # the mark stays until somebody confirms the thaw: this success is no recovery
        return
    how = f"Run {run.pk} of {run.label} succeeded."
    lately = told.filter(kind=AlarmKind.RECOVERED, not_before__gt=now - messages.REPEAT)
    if not lately.exists():
        how += _take_along(run, now)
    _raise(run, AlarmKind.RECOVERED, messages.recovered(run.label, str(run.pk), how), now)


def _take_along(run: Run, now: datetime) -> str:
    """Remove the failures that are held back; return a sentence with their number.

    They would else be sent after their recovery.
    """
    late = (AlarmKind.WAITS_TOO_LONG, AlarmKind.SKIPPED)
    mine = Alarm.objects.filter(policy=run.policy_id, kind__in=[*_ENDED.values(), *late])
    held = mine.filter(Q(not_before__gt=now) | muting.holds(now), spread_at=None)
    untold = sum(held.values_list("count", flat=True))
    Alarm.objects.filter(pk__in=list(held.values_list("pk", flat=True)), spread_at=None).delete()
    return f" There were {untold} more problems that no alarm reported." if untold else ""


def _raise(
    run: Run, kind: AlarmKind, message: Message, now: datetime, *, at_once: bool = False
) -> None:
    """Add the alarm, or count it in one that is held back; see `messages.REPEAT`."""
    _take_back_recovery(run, kind, now)
    rows = Alarm.objects.filter(policy=run.policy_id, kind=kind)
    last = rows.order_by("-pk").first() if run.policy_id else None
    not_before = now
    if last is not None and not at_once:
        # A recovery that is due reports something else: a thaw.
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
    """Remove a recovery that is no longer true.

    A recovery that is due was true: it is sent, and the new problem after it.
    """
    untold = _held(run, AlarmKind.RECOVERED)
    if kind == AlarmKind.MAY_BE_FROZEN:
        untold.delete()
    elif kind in messages.TROUBLE:
        # Another machine's clock may show a due alarm as not yet due; one held back was so when created.
        untold.filter(not_before__gt=now).exclude(not_before=F("created_at")).delete()


def _count_in(held: Alarm, run: Run, message: Message) -> bool:
    """Count the alarm in one that was not sent yet, and let that report the new run; False if sent by now."""
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


def has_ping(run: Run) -> bool:
    """Tell whether anybody is pinged at the begins and ends of the policy's runs."""
    return AlarmReceivers.objects.filter(policy=run.policy_id, has_ping=True).exists()


def _ping(run: Run, kind: AlarmKind, now: datetime) -> None:
    if not has_ping(run):
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
