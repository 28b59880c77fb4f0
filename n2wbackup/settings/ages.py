"""How long rows are kept, in days: one table of the defaults, each with its variable.

What a restore point needs is kept as long as its snapshots, whatever these ages are.
"""

from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.settings.env import flag, read

__all__ = [
    "N2W_DELETE_AFTER_HOURS",
    "N2W_KEEP_ALL_SNAPSHOTS",
    "N2W_KEEP_DAYS",
    "N2W_LOCK_SNAPSHOTS",
]

_LONGEST = 36_500
_LONGEST_NOTICE = 8_760


@dataclass(frozen=True, slots=True)
class Age:
    """The variable with the days, the days without it, and the least that the pages and alarms need."""

    variable: str
    days: int
    least: int


AGES = {
    "outputs": Age("N2W_KEEP_OUTPUTS_DAYS", days=90, least=1),
    "events": Age("N2W_KEEP_EVENTS_DAYS", days=400, least=7),
    # Runs that are no restore points. Retries and alarms look back for days, never for a month.
    "runs": Age("N2W_KEEP_RUNS_DAYS", days=400, least=31),
    # A calendar shows 53 weeks.
    "counts": Age("N2W_KEEP_COUNTS_DAYS", days=1100, least=372),
    "audit": Age("N2W_KEEP_AUDIT_DAYS", days=400, least=31),
    # Of scripts. What a kept run has run stays as long as the run.
    "versions": Age("N2W_KEEP_VERSIONS_DAYS", days=400, least=31),
    "alarms": Age("N2W_KEEP_ALARMS_DAYS", days=90, least=31),
    # Instances and volumes that are gone from AWS.
    "inventory": Age("N2W_KEEP_INVENTORY_DAYS", days=90, least=1),
}


def _days(age: Age) -> int:
    text = read(age.variable, str(age.days))
    if not (text.isascii() and text.isdecimal()) or not age.least <= int(text) <= _LONGEST:
        raise ImproperlyConfigured(
            f"{age.variable} is {text[:40]!r}: set it to a number of days from {age.least} to {_LONGEST}."
        )
    return int(text)


N2W_KEEP_DAYS = {name: _days(age) for name, age in AGES.items()}


def _notice_hours() -> int:
    text = read("N2W_DELETE_AFTER_HOURS", "24")
    if not (text.isascii() and text.isdecimal()) or int(text) > _LONGEST_NOTICE:
        raise ImproperlyConfigured(
            f"N2W_DELETE_AFTER_HOURS is {text[:40]!r}: set it to a number of hours from 0 to {_LONGEST_NOTICE}."
        )
    return int(text)


# A restore point that the rules let go is announced, and deleted only so many hours later.
N2W_DELETE_AFTER_HOURS = _notice_hours()
N2W_KEEP_ALL_SNAPSHOTS = flag("N2W_KEEP_ALL_SNAPSHOTS")  # the server deletes no snapshot at all
# Each new restore point is locked in AWS (governance) until its rules let it go.
N2W_LOCK_SNAPSHOTS = flag("N2W_LOCK_SNAPSHOTS")
