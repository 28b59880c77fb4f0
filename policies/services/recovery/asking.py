"""Asking for a recovery, cancelling it, and having it undone. A worker does the work."""

from collections.abc import Callable

from django.db import transaction

from n2wbackup.lib import clock
from policies.adapters import broker
from policies.domain.errors import RefusedError
from policies.domain.recovery import states
from policies.domain.recovery.states import State
from policies.domain.retention.points import HoldKind
from policies.models import Recovery, RecoveryStep, Run
from policies.selectors import sources
from policies.services.recovery import history, planning, working
from policies.services.recovery.planning import Choices, Plan
from policies.services.retention import holds
from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.models import User
from scripts_admin.services import audit

COMMAND_LINE = "the command line"
_HELD = "recovery {} reads its snapshots"


def ask(
    run: Run, choices: Choices, *, by: str, person: User | None = None, confirmation: str = ""
) -> Recovery:
    """Queue a recovery; `person`: None is this machine's command line.

    RefusedError or AwsError, and nothing done, if it may not or cannot be. What changes an instance that exists needs
    its id as `confirmation`.
    """
    if person is not None and not permissions.may_restore(person, run):
        raise RefusedError(f"Run {run.pk}: {by} is not allowed to restore. Ask the owner.")
    plan = planning.plan(run, choices, by=person)
    if plan.touches and confirmation != plan.touches:
        message = f"This changes {plan.touches}, which exists: confirm it with the id {plan.touches}. Nothing was done."
        raise RefusedError(message)
    with transaction.atomic():
        recovery = _entered(plan, by)
        holds.take(
            run.pk,
            HoldKind.RECOVERY,
            key=str(recovery.pk),
            reason=_HELD.format(recovery.pk),
            until=None,
            copies=plan.copies,
        )
        subject = audit.subject(Kind.RUN, run, run.label)
        changes = [
            Change("recovery", "", str(recovery.pk)),
            Change("kind", "", recovery.kind),
            Change("of", "", recovery.subject),
            Change("source", "", sources.in_words(recovery.source) or "its snapshots"),
        ]
        audit.record(Action.RESTORED, subject, changes)
        broker.on_commit(broker.RECOVERY, recovery.pk)
    return recovery


def _entered(plan: Plan, by: str) -> Recovery:
    now, run = clock.now(), plan.run
    recovery = Recovery.objects.create(
        run=run,
        run_id_copied=run.pk,
        policy_id=run.policy_id,
        owner_id=run.owner_id,
        account=plan.account,
        policy_name=run.policy_name,
        owner_name=run.owner_name,
        account_name=plan.account.name,
        point_at=run.fired_at or run.created_at,
        region=plan.region,
        kind=plan.choices.kind,
        subject=plan.subject,
        choices=plan.choices.as_json(),
        requested_by=by,
        asked_at=now,
        next_at=now,
    )
    RecoveryStep.objects.bulk_create(
        RecoveryStep(recovery=recovery, position=position, deed=step.deed, params=dict(step.params))
        for position, step in enumerate(plan.steps)
    )
    history.event(recovery, f"{by} asked for it.", now)
    return recovery


def cancel(recovery: Recovery, *, by: str, person: User | None = None) -> str:
    """Cancel it: what was done is taken back. Return what happens now. RefusedError: it is too late."""

    def stop(row: Recovery) -> str:
        if row.state == State.QUEUED:
            row.state, row.ended_at = State.CANCELLED, clock.now()
            row.cancelled_by, row.reason = by, f"{by} cancelled it before it began."
            row.save(update_fields=["state", "ended_at", "cancelled_by", "reason"])
            history.event(row, row.reason)
            working.drop_hold(row)
            return "cancelled; nothing was done"
        if row.state == State.WORKING and not row.ending and not row.cancelled_by:
            Recovery.objects.filter(pk=row.pk).update(cancelled_by=by)
            history.event(row, f"{by} wants it cancelled.")
            return "cancelled; what was done is taken back"
        if row.state == State.WORKING:
            raise RefusedError(f"Recovery {row.pk} is being taken back already: wait for its end.")
        message = f"Recovery {row.pk} is {row.state}: undo it, if what it made is not wanted."
        raise RefusedError(message)

    _refuse_others(recovery, person)
    return _changed(recovery, stop, Action.CANCELLED)


def undo(recovery: Recovery, *, by: str, confirmation: str, person: User | None = None) -> str:
    """Take back what a recovery did: delete what it made, put in its place what was there. Return what happens now.

    RefusedError, and nothing done, without the recovery's id as `confirmation`: what was written to the restored
    volumes is lost.
    """
    if confirmation != str(recovery.pk):
        message = (
            "Undoing deletes what this recovery made, with everything that was written there since: confirm it with "
            f"the id {recovery.pk}. Nothing was done."
        )
        raise RefusedError(message)

    def turn_back(row: Recovery) -> str:
        if row.state not in states.UNDOABLE:
            raise RefusedError(f"Recovery {row.pk} is {row.state}: there is nothing to undo.")
        if not row.steps.filter(takes_back=False, begun_at__isnull=False).exists():
            raise RefusedError(f"Recovery {row.pk} has done nothing: there is nothing to undo.")
        row.claim, row.next_at = None, clock.now()
        row.undone_by = by
        row.save(update_fields=["claim", "next_at", "undone_by"])
        working.take_back(row, State.UNDONE, f"{by} wants it undone.")
        return "being undone"

    _refuse_others(recovery, person)
    return _changed(recovery, turn_back, Action.UNDID)


def _refuse_others(recovery: Recovery, person: User | None) -> None:
    if person is not None and not permissions.may_restore(person, recovery):
        message = (
            f"Recovery {recovery.pk}: {person.username} is not allowed to restore. Ask the owner."
        )
        raise RefusedError(message)


def _changed(recovery: Recovery, act: Callable[[Recovery], str], action: Action) -> str:
    with transaction.atomic():
        row = Recovery.objects.select_for_update(of=("self",)).get(pk=recovery.pk)
        state = row.state
        done = act(row)
        subject = audit.subject(Kind.RECOVERY, row, row.label)
        audit.record(action, subject, [Change("state", state, row.state)])
        broker.on_commit(broker.RECOVERY, row.pk)
    recovery.refresh_from_db()
    return done
