"""The saving rules of schedules, for admin forms and for `apply`."""

from collections.abc import Callable, Collection

from django.core.exceptions import ValidationError
from django.db import transaction

from policies.domain import identifiers
from policies.domain.errors import RefusedError
from policies.domain.schedules import disabled, schedule
from policies.domain.schedules.schedule import LIMITS, Unit
from policies.models import Policy, Schedule
from policies.services.due import rules, ticking
from policies.services.entry import audited
from scripts_admin.domain.audit import Action

# The columns that people enter.
COLUMNS = (
    "owner",
    "name",
    "cron",
    "every_number",
    "every_unit",
    "starting",
    "ending",
    "timezone",
    "disabled",
)
_EVERY = ("every_number", "every_unit", "starting")
MAX_DISABLED = 50
MAX_CRON = 200


def check(row: Schedule, *, unread: Collection[str] = ()) -> None:
    """Raise ValidationError, by field, if the schedule cannot be saved as it is.

    Rules that need a field of `unread` are skipped: it is not set, and its mistake is already reported.
    """
    unread = set(unread)
    wrong: dict[str, str] = {}
    if "name" not in unread:
        wrong |= _name(row, unread)
    if not unread & {"cron", *_EVERY}:
        wrong |= _when(row)
    if "timezone" not in unread:
        wrong |= _told("timezone", lambda: rules.zone(row.timezone))
    if row.ending and not unread & {"starting", "ending"}:
        wrong |= _told("ending", lambda: _ending(row))
    if "disabled" not in unread:
        wrong |= _told("disabled", lambda: _disabled(row.disabled))
    if wrong:
        raise ValidationError(wrong)


def save(row: Schedule) -> None:
    """Save the schedule, and compute the next due times of its policies again. On ValidationError nothing is saved.

    Due times until now are accounted for by the old rules.
    """
    with transaction.atomic():
        check(row)
        row.cron = " ".join(row.cron.split())
        row.disabled = [str(time) for time in dict.fromkeys(_disabled(row.disabled))]
        before = audited.schedule(row.pk)
        with ticking.replanned(_followers(row)):
            row.save()
        audited.enter_schedule(row, before)


def delete(row: Schedule) -> None:
    """Delete the schedule; RefusedError, and nothing changed, while policies follow it."""
    with transaction.atomic():
        Schedule.objects.select_for_update().only("pk").get(pk=row.pk)
        reason = why_not_deleted(row)
        if reason:
            raise RefusedError(reason)
        audited.enter(Action.DELETED, row)
        Schedule.objects.filter(pk=row.pk).delete()


def why_not_deleted(row: Schedule) -> str:
    """Return the reason why the schedule cannot be deleted, or ""."""
    names = sorted(row.policies.values_list("name", flat=True))
    if not names:
        return ""
    return (
        f"The schedule {row.name} cannot be deleted, because policies follow it: {', '.join(names)}. Remove it "
        "from these policies first."
    )


def _followers(row: Schedule) -> list[int]:
    return list(Policy.objects.filter(schedules=row.pk).values_list("pk", flat=True))


def _told(field: str, ask: Callable[[], object]) -> dict[str, str]:
    try:
        ask()
    except ValueError as error:
        return {field: str(error)}
    return {}


def _name(row: Schedule, unread: set[str]) -> dict[str, str]:
    if not identifiers.is_label(row.name):
        return {
            "name": (
                "A schedule's name must be visible text without '/' and without spaces at its ends, at most 64 "
                "characters."
            )
        }
    if "owner" in unread:
        return {}
    before = Schedule.objects.select_related("owner").filter(pk=row.pk).first()
    if before is not None and before.owner_id != row.owner_id:
        return {"owner": f"The schedule {before.name} cannot change its owner: create a new one."}
    same = Schedule.objects.filter(owner=row.owner_id).exclude(pk=row.pk)
    if identifiers.is_one_of(row.name, same.values_list("name", flat=True)):
        return {"name": f"{row.owner} already has a schedule {row.name}: choose another name."}
    return {}


def _when(row: Schedule) -> dict[str, str]:
    if row.cron:
        named = [field for field in _EVERY if getattr(row, field)]
        if named:
            return {
                named[0]: "A schedule has either cron, or every and starting: remove one of them."
            }
        if len(row.cron) > MAX_CRON:
            return {
                "cron": f"This has {len(row.cron)} characters, but at most {MAX_CRON} are allowed: shorten it."
            }
        return _told("cron", lambda: schedule.check_cron(row.cron))
    if not row.every_number and not row.every_unit:
        return {"cron": "A schedule must say when: write cron, or every and starting."}
    wrong = _every(row)
    if not row.starting:
        return wrong | {
            "starting": "every needs a first time: write starting, such as 2026-12-01T00:00."
        }
    return wrong | _told("starting", lambda: schedule.parse_wall(row.starting))


def _every(row: Schedule) -> dict[str, str]:
    if row.every_unit not in LIMITS:
        return {"every_unit": f"{row.every_unit!r} is not a unit: the units are {', '.join(Unit)}."}
    most = LIMITS[Unit(row.every_unit)]
    if row.every_number is None or not 1 <= row.every_number <= most:
        return {
            "every_number": (
                f"This is {row.every_number} but must be from 1 to {most} {row.every_unit}: correct it."
            )
        }
    return {}


def _ending(row: Schedule) -> None:
    ending = schedule.parse_wall(row.ending)
    try:
        starting = schedule.parse_wall(row.starting) if row.starting else None
    except ValueError:
        return  # reported at its own field
    if starting and ending < starting:
        message = f"The schedule ends ({row.ending}) before it starts ({row.starting}): correct one of them."
        raise ValueError(message)


def _disabled(lines: object) -> list[disabled.DisabledTime]:
    if not isinstance(lines, list) or len(lines) > MAX_DISABLED:
        message = f"Disabled times must be a list of at most {MAX_DISABLED} entries."
        raise ValueError(message)
    return [disabled.parse(str(line)) for line in lines]
