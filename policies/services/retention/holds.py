"""Hold a restore point, whatever the rules of its policy say, and release it.

A hold and the intent to delete exclude each other: both lock the row of the run first (see models/retention.py for
the order of all locks). Whoever has taken a hold may rely on the snapshots until they drop it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib import clock
from policies.domain.copies.states import CopyState
from policies.domain.errors import RefusedError
from policies.domain.retention.points import HoldKind
from policies.models import Copy, Hold, Removal, Run
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

MAX_REASON = 200
LONGEST = timedelta(days=36_600)


def check(until: datetime | None, reason: str) -> None:
    """Raise ValidationError, by field, if nobody can hold a restore point like this."""
    wrong = {}
    now = clock.now()
    if until is not None and until <= now:
        wrong["until"] = (
            f"{until:%Y-%m-%d %H:%M} UTC is in the past: enter a time that is still to come, or none."
        )
    elif until is not None and until > now + LONGEST:
        wrong["until"] = (
            "That is more than a hundred years: leave the end empty to hold it for ever."
        )
    if not reason.strip():
        wrong["reason"] = (
            "A hold needs a reason, for everyone who wonders why the restore point stays: enter one."
        )
    elif not reason.isprintable() or len(reason) > MAX_REASON:
        wrong["reason"] = (
            f"The reason must be one line of at most {MAX_REASON} characters: shorten it."
        )
    if wrong:
        raise ValidationError(wrong)


def freezer_of(run: Run) -> Hold | None:
    """Return the hold that a person put on the run and nobody has released."""
    return Hold.objects.filter(run=run, kind=HoldKind.FREEZER, released_at=None).first()


def hold(run: Run, *, reason: str, until: datetime | None, by: str) -> None:
    """Hold the run's restore point, or change its hold; ValidationError or RefusedError: nothing was changed."""
    check(until, reason)
    with transaction.atomic():
        row = _standing(run.pk)
        found = freezer_of(row) or Hold(run=row, kind=HoldKind.FREEZER, created_at=clock.now())
        before = _in_words(found.until) if found.pk else ""
        found.reason, found.until, found.by = reason.strip(), until, by
        found.save()
        change = Change("held_until", before, _in_words(until))
        audit.record(Action.HELD, _subject(row), [change], reason=found.reason)


def release(run: Run, *, by: str) -> None:
    """Release the run's hold; RefusedError if no person holds it."""
    with transaction.atomic():
        row = Run.objects.select_for_update(of=("self",)).get(pk=run.pk)
        found = freezer_of(row)
        if found is None:
            message = f"Nobody holds run {run.pk}: there is nothing to release."
            raise RefusedError(message)
        found.released_at, found.released_by = clock.now(), by
        found.save(update_fields=("released_at", "released_by"))
        change = Change("held_until", _in_words(found.until), "")
        audit.record(Action.RELEASED, _subject(row), [change], reason=found.reason)


def take(
    run_id: UUID,
    kind: HoldKind,
    *,
    key: str,
    reason: str,
    until: datetime | None,
    copies: Collection[UUID] = (),
) -> None:
    """Hold the run's restore point for the server's own work; taken again, it is renewed.

    RefusedError, and nothing changed: its snapshots are being deleted, or do not exist. `key` says which recovery,
    proof or copy it is for. `copies`: these are what is used, and what must be there; a hold keeps copies as it keeps
    snapshots.
    """
    with transaction.atomic():
        row = _with_copies(run_id, copies) if copies else _standing(run_id)
        same = Hold.objects.filter(run=row, kind=kind, released_at=None)
        found = same.first() if kind == HoldKind.FREEZER else same.filter(key=key).first()
        found = found or Hold(run=row, kind=kind, key=key, created_at=clock.now())
        found.reason, found.until = reason, until
        found.save()


def drop(run_id: UUID, kind: HoldKind, *, key: str) -> None:
    """Release what was taken with this key; nothing happens where it was released before."""
    same = Hold.objects.filter(run=run_id, kind=kind, key=key, released_at=None)
    same.update(released_at=clock.now())


def _standing(run_id: UUID) -> Run:
    """Return the run, locked, if it is a restore point that nobody is deleting; the caller has opened a transaction."""
    row = Run.objects.select_for_update(of=("self",)).filter(pk=run_id).first()
    if row is None:
        message = f"Run {run_id} does not exist: there is nothing to hold."
        raise RefusedError(message)
    begun = Removal.objects.filter(run=row, begun_at__isnull=False).first()
    if begun is not None:
        how = "are deleted" if begun.ended_at else "are being deleted"
        message = f"The snapshots of run {run_id} {how}: choose another restore point."
        raise RefusedError(message)
    if not row.restore_point:
        message = f"Run {run_id} is no restore point: it has no usable snapshot to hold."
        raise RefusedError(message)
    return row


def _with_copies(run_id: UUID, wanted: Collection[UUID]) -> Run:
    """Return the run, locked, if nobody is deleting these copies; whoever would locks the run, too."""
    row = Run.objects.select_for_update(of=("self",)).filter(pk=run_id).first()
    there = Copy.objects.filter(run=run_id, pk__in=wanted, state=CopyState.COMPLETED)
    if row is None or there.count() != len(wanted):
        message = f"A copy of run {run_id} is being deleted, or is gone: choose another source."
        raise RefusedError(message)
    return row


def _subject(run: Run) -> audit.Subject:
    return audit.subject(Kind.RUN, run, run.label)


def _in_words(until: datetime | None) -> str:
    return f"{until:%Y-%m-%d %H:%M} UTC" if until else "for ever"
