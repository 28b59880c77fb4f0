"""Runs: the only code that changes a run's state, always by compare-and-set on its row.

Order within a change: first the row (a process that loses the comparison writes nothing), then the
run's history, then the effects that the state machine names. All in one transaction, without network.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, QuerySet

from n2wbackup.lib import clock, compiled, home
from policies.adapters import broker
from policies.domain.alarms import messages
from policies.domain.errors import RefusedError
from policies.domain.runs import sequence
from policies.domain.runs.sequence import Effect, Event, State
from policies.domain.runs.trigger import Trigger
from policies.domain.runs.verdict import Consistency
from policies.domain.schedules.reckoning import Span
from policies.models import Policy, Run, RunEvent, RunSnapshot, WindowLease
from policies.selectors.runs import has_thawed
from policies.services import aside, closing, deeds
from policies.services.alarms import raising

MAX_LOSSES = 5
SKIPPED_IN_A_ROW = 3


def start(
    *,
    policy: Policy,
    trigger: Trigger,
    requested_by: str = "",
    scheduled_for: datetime | None = None,
    attempt: int = 1,
    test_phase: str = "",
    test_argument: str = "",
) -> Run:
    """Queue a run. Raises RefusedError, and adds nothing, if the policy has an unfinished run.

    Only people are refused: if a due time meets an unfinished run, it becomes a run in state `skipped`.
    """
    now = clock.now()
    run = new(
        policy,
        trigger=trigger,
        scheduled_for=scheduled_for,
        attempt=attempt,
        created_at=now,
        requested_by=requested_by,
        test_phase=test_phase,
        test_argument=test_argument,
        dispatched_at=now,
    )
    try:
        with transaction.atomic():
            compiled.enter([run])
            record(run, f"queued ({trigger})", at=now)
            deeds.wanted(run, policy)
            broker.on_commit(broker.FREEZE, run.pk)
    except IntegrityError:
        return _refuse(run)
    return run


def enter_due(policy: Policy, state: State, span: Span, reason: str) -> None:
    """Enter due times without a run, as one row that has ended.

    Nothing is entered if the first due time already has a row.
    """
    run = new(
        policy,
        trigger=Trigger.SCHEDULE,
        scheduled_for=span.first,
        created_at=clock.now(),
        due_count=span.number,
        due_until=span.last,
    )
    if not Run.objects.filter(policy=policy, scheduled_for=span.first, attempt=1).exists():
        _enter_ended(run, state, reason)


def new(policy: Policy, **columns: Any) -> Run:  # noqa: ANN401 - values of columns
    """Return a run with copies of the policy's names and owner, as a run outlives its policy."""
    return Run(
        policy=policy,
        owner=policy.owner,
        account=policy.account,
        policy_name=policy.name,
        owner_name=policy.owner.username,
        **columns,
    )


def _enter_ended(run: Run, state: State, reason: str) -> None:
    run.state, run.ended_at, run.reason = state, run.created_at, reason
    run.consistency = Consistency.NONE
    with transaction.atomic():
        run.save(force_insert=True)
        record(run, reason, at=run.created_at)
        _close(run, run.created_at)


def _refuse(run: Run) -> Run:
    """Enter a due time that met an unfinished run as skipped; refuse a person with a sentence."""
    same = Run.objects.filter(
        policy=run.policy, scheduled_for=run.scheduled_for, attempt=run.attempt
    )
    running = Run.objects.unfinished().filter(policy=run.policy).first()
    if run.policy_id is None or not Policy.objects.filter(pk=run.policy_id).exists():
        message = f"{run.label} was deleted at the same moment: there is nothing to back up."
        raise RefusedError(message)
    if running is None or (run.scheduled_for and same.exists()):
        message = (
            f"A run of {run.label} for this due time already exists; no second one was created."
        )
        raise RefusedError(message)
    if run.trigger != Trigger.SCHEDULE:
        message = (
            f"{run.label} is already being backed up (run {running.pk}, {running.state}). Wait until it "
            f"ends, or cancel it."
        )
        raise RefusedError(message)
    reason = f"Run {running.pk} of the same policy had not ended at the due time."
    _enter_ended(run, State.SKIPPED, reason)
    _tell_of_skipping(run, running)
    return run


def _tell_of_skipping(run: Run, running: Run) -> None:
    """Raise an alarm if one run made the policy skip several due times; disabled times are no reason for one."""
    skipped = Run.objects.filter(policy=run.policy, state=State.SKIPPED, due_until=None)
    count = skipped.filter(created_at__gte=running.created_at).count()
    if count >= SKIPPED_IN_A_ROW:
        aside.do("the alarm", lambda: raising.skipped(run, running, count, run.created_at), run)


def is_here(run: Run) -> bool:
    """Tell whether this server has the run's spool and processes, or no server has."""
    return run.server in {"", home.server_id()}


def apply(
    run: Run,
    event: Event,
    text: str,
    *,
    at: datetime | None = None,
    expected: Mapping[str, Any] | None = None,
    end: State | None = None,
    **changes: Any,  # noqa: ANN401 - values of columns, as update() takes them
) -> bool:
    """Apply an event to a run as this process knows it; False, and nothing done, if the row changed.

    `expected` adds columns to the comparison. `end` gives the end state for an event whose end the
    verdict decides. Raises sequence.NoSuchStepError if the run's state does not allow the event.
    """
    step = sequence.step(State(run.state), event)
    state = step.state or end
    if state is None:
        message = f"{event} needs the end state"
        raise ValueError(message)
    now = clock.now()
    changes = run.noted | changes
    if state in sequence.ENDS:
        changes = {"ended_at": now, "consistency": Consistency.NONE} | changes
    if Effect.TAG in step.effects:
        changes["tags_due"] = True
    # With the server: a run that another one has taken over is in other hands, whatever its state.
    comparison = {"state": run.state, "server": run.server} | dict(expected or {})
    with transaction.atomic(savepoint=False):
        changed = {"state": state} | changes | _judged(run, step)
        if not compiled.change(Run, {"pk": run.pk} | comparison, changed):
            return False
        run.noted.clear()
        for name, value in {"state": state, **changes}.items():
            setattr(run, name, value)
        if text:
            record(run, text, at=at or now)
        for effect in step.effects:
            if effect in _EFFECTS:
                _EFFECTS[effect](run, now)
    return True


def _judged(run: Run, step: sequence.Step) -> dict[str, Any]:
    """Return the columns that the database itself works out when a run ends."""
    if Effect.CLOSE not in step.effects:
        return {}
    usable = RunSnapshot.objects.filter(target__run=run, state=RunSnapshot.State.COMPLETED)
    return {"restore_point": Exists(usable)}


def note(run: Run, **columns: Any) -> None:  # noqa: ANN401 - values of columns
    """Set columns that are written with the run's next change: until then, nobody else needs them.

    A process that dies before that change prepares the run anew, or leaves it to one that does.
    """
    run.noted.update(columns)
    for name, value in columns.items():
        setattr(run, name, value)


def hold(run: Run, **columns: Any) -> bool:  # noqa: ANN401 - values of columns
    """Write columns, and what was noted, without a change of state; False if the run is in other hands by now.

    Within a transaction, the row stays locked until its end: for what belongs to the run and is written with it.
    """
    changes = run.noted | columns or {"server": run.server}
    same = {"pk": run.pk, "state": run.state, "server": run.server}
    if not compiled.change(Run, same, changes):
        return False
    for name, value in columns.items():
        setattr(run, name, value)
    return True


def new_mark() -> str:
    """Return a mark for a run: a proof looks for exactly this one in what was backed up."""
    return secrets.token_hex(16)


def note_spool(run: Run) -> bool:
    """Note that the spool is about to have the run's record; False if the run is in other hands by now.

    From then on, this server runs after when it comes back from a crash, although nothing was frozen: its
    memory is lost. So no other server may open a window of the run before that.
    """
    return hold(run, spooled_at=clock.now())


def lose(run: Run, why: str) -> None:
    """Queue a run again whose preparation was interrupted; nothing was frozen.

    The loss number MAX_LOSSES ends the run instead.
    """
    losses = run.losses + 1
    if losses < MAX_LOSSES:
        text = f"{why} while preparing; nothing was frozen; the run is tried again"
        apply(run, Event.LOST, text, losses=losses, dispatched_at=None)
        return
    reason = f"The run was lost {losses} times during its preparation. It is not tried again."
    apply(run, Event.NOTHING_LEFT, reason, reason=reason, losses=losses)


def record(run: Run, text: str, *, at: datetime | None = None, state: str = "") -> None:
    """Add a line to the run's history; `at` is when it happened."""
    compiled.enter([RunEvent(run=run, at=at or clock.now(), state=state or run.state, text=text)])


def record_all(run: Run, lines: Iterable[tuple[str, datetime | None, str]]) -> None:
    """Add lines to the run's history at once: each a text, when it happened, and in which state."""
    now = clock.now()
    compiled.enter(
        [RunEvent(run=run, at=at or now, state=state, text=text) for text, at, state in lines]
    )


def cancel(run: Run, *, by: str) -> None:
    """Cancel a run in any unfinished state; what is frozen is thawed first, and complete gets 0.

    Raises RefusedError if the run has ended, or if its complete has started.
    """
    for _ in range(3):  # the run's state may change between the reading and the change
        run.refresh_from_db()
        if run.state in sequence.ENDS:
            message = f"Run {run.pk} has ended already ({run.state}); there is nothing to cancel."
            raise RefusedError(message)
        if run.cancel_requested_at:
            return
        if run.complete_started_at:
            message = f"Run {run.pk} can no longer be cancelled: its complete script has started. Wait until it ends."
            raise RefusedError(message)
        now = clock.now()
        if apply(
            run,
            Event.CANCEL,
            f"cancelled by {by}",
            expected={"cancel_requested_at": None, "complete_started_at": None},
            cancel_requested_at=now,
            cancelled_by=by,
            reason=run.reason or f"Cancelled by {by}.",
        ):
            return
    message = f"Run {run.pk} changed while it was being cancelled. Try again."
    raise RefusedError(message)


def _release(run: Run, _: datetime) -> None:
    WindowLease.objects.filter(run=run).delete()


def _mark(run: Run, now: datetime) -> None:
    if run.policy_id is None:
        return
    rows = Policy.objects.filter(pk=run.policy_id, may_be_frozen_since=None)
    is_new = bool(rows.update(may_be_frozen_since=run.ordered_at or now))
    marked = Policy.objects.values_list("may_be_frozen_since", flat=True)
    since = marked.filter(pk=run.policy_id).first() or now
    aside.do("the alarm", lambda: raising.may_be_frozen(run, since, now, is_new=is_new), run)


def _unmark(run: Run, now: datetime) -> None:
    unmark(run, f"A person confirmed that {run.label} is thawed.", now)


def unmark(run: Run, how: str, now: datetime) -> bool:
    """Remove the mark from the run's policy and report the thaw; False if there was no mark."""
    if run.policy_id is None:
        return False
    rows = Policy.objects.filter(pk=run.policy_id, may_be_frozen_since__isnull=False)
    if not rows.update(may_be_frozen_since=None):
        return False
    aside.do("the alarm", lambda: raising.thawed(run, how, now), run)
    return True


def _unmark_if_thawed(run: Run, now: datetime) -> None:
    # The mark first: few policies have one, and what else is asked costs more.
    is_thawed = _is_marked(run) and has_thawed(run)
    if is_thawed and unmark(run, messages.thawed(run.label, str(run.pk)), now):
        return
    if raising.was_late(run):
        aside.do("the alarm", lambda: raising.thawed_late(run, now), run)


def _is_marked(run: Run) -> bool:
    return bool(_marked(run.policy_id or 0))


@compiled.Reading
def _marked(policy: int) -> QuerySet[Policy, int]:
    rows = Policy.objects.filter(pk=policy, may_be_frozen_since__isnull=False)
    return rows.order_by().values_list("pk", flat=True)


def _complete(run: Run, _: datetime) -> None:
    broker.on_commit(broker.COMPLETE, run.pk, run.server)


def _close(run: Run, now: datetime) -> None:
    closing.close([run], now)


_EFFECTS: Mapping[Effect, Callable[[Run, datetime], None]] = {
    Effect.RELEASE: _release,
    Effect.MARK: _mark,
    Effect.UNMARK: _unmark,
    Effect.UNMARK_IF_THAWED: _unmark_if_thawed,
    Effect.COMPLETE: _complete,
    Effect.CLOSE: _close,
}
