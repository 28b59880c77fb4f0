"""Hold a restore point, whatever the rules of its policy say, and release it."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.domain.retention.points import HoldKind
from policies.models import Hold, Run
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
        row = Run.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if not row.restore_point:
            message = f"Run {run.pk} is no restore point: it has no usable snapshot to hold."
            raise RefusedError(message)
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


def _subject(run: Run) -> audit.Subject:
    return audit.subject(Kind.RUN, run, run.label)


def _in_words(until: datetime | None) -> str:
    return f"{until:%Y-%m-%d %H:%M} UTC" if until else "for ever"
