"""Copy an entry of the document to the columns of a row, and describe each change by its key.

Nothing here saves or reports a mistake.
"""

from collections.abc import Iterable, Mapping

from django.db import models

from policies.domain.document import fields
from policies.domain.document.marked import Entry
from policies.models import Account, Policy, PolicyTarget, Schedule

SECRET = "(set)"  # noqa: S105 - shown instead of a secret
USER = {"email": "email", "superuser": "is_superuser", "active": "is_active"}
ACCOUNT = {
    "auth": "auth",
    "access_key_id": "access_key_id",
    "role_arn": "role_arn",
    "region": "region",
    "regions": "regions",
}
SCHEDULE = {
    "cron": "cron",
    "starting": "starting",
    "ending": "ending",
    "timezone": "timezone",
}
POLICY = fields.columns(fields.POLICY)
TARGET = fields.columns(fields.TARGET)
# Keys that set a column in another way than by its value.
_OTHERWISE = {
    "username": "name",
    "secret_access_key": "secret_access_key_env",
    "urls": "alarm_urls_env",
    "ping_url": "ping_url_env",
    "every_number": "every",
    "every_unit": "every",
}
# No column has two keys in these tables; `key_of_target` has the columns of targets.
_KEYS = {
    column: key for table in (USER, ACCOUNT, SCHEDULE, POLICY) for key, column in table.items()
}
# Nobody needs to read these, and the output may be stored.
_NEVER_SHOWN = {"access_key_id", "secret_access_key"}


def key_of(column: str) -> str:
    """Return the key that sets this column of a user, account, schedule or policy."""
    return _OTHERWISE.get(column) or _KEYS.get(column, column)


def key_of_target(column: str) -> str:
    """Return the key that sets this column of a target."""
    return next(key for key, of in TARGET.items() if of == column)


def unread(entry: Entry, table: Mapping[str, str]) -> set[str]:
    """Return the table's columns that the entry names but whose values could not be read."""
    return {column for key, column in table.items() if entry.is_unread(key)}


def unread_of_account(entry: Entry) -> set[str]:
    """Return the columns that the entry names but whose values were reported as wrong."""
    return entry.unread | {column for column, key in _OTHERWISE.items() if key in entry.unread}


def unread_of_schedule(entry: Entry) -> set[str]:
    """Return the columns that the entry names but whose values could not be read, wholly or in part."""
    every = {"every_number", "every_unit"} if "every" in entry.unread else set()
    return every | ({*SCHEDULE, "disabled"} & entry.unread)


def fill(row: models.Model, entry: Entry, table: Mapping[str, str]) -> dict[str, str]:
    """Set the table's columns whose keys the entry names; return what changed, in words, by key."""
    changes = {}
    for key, column in table.items():
        new, old = entry.get(key), getattr(row, column)
        if new is None:
            continue
        new = list(new) if isinstance(new, tuple) else new  # a JSON column loads lists
        if not row.pk or old != new:
            setattr(row, column, new)
            hidden = column in _NEVER_SHOWN
            changes[key] = SECRET if hidden else shown(old if row.pk else None, new)
    return changes


def fill_schedule(row: Schedule, entry: Entry) -> dict[str, str]:
    """Set the columns of a schedule, like `fill`. An entry with cron removes every, and the other way round."""
    before = _when(row) if row.pk else {}
    changes = fill(row, entry, SCHEDULE)
    if "every" in entry.values:
        numbers = entry.values["every"].values
        row.every_unit, row.every_number = next(iter(numbers.items()), ("", None))
        row.cron = entry.values.get("cron", "")
    elif "cron" in entry.values:
        row.every_unit, row.every_number = "", None
        row.starting = entry.values.get("starting", "")
    for key, after in _when(row).items():
        if before.get(key, "") != after:
            changes[key] = shown(before.get(key), after)
    return changes


def _when(row: Schedule) -> dict[str, str]:
    every = f"{row.every_number} {row.every_unit}" if row.every_unit else ""
    return {"cron": row.cron, "every": every, "starting": row.starting}


def target(entry: Entry) -> PolicyTarget:
    """Return the entry's target; its policy is not set yet."""
    values = {column: entry.get(key) for key, column in TARGET.items()}
    said = {column: value for column, value in values.items() if value is not None}
    # Lists of the document are read as tuples, but a JSON column loads lists.
    found = PolicyTarget(**{c: list(v) if isinstance(v, tuple) else v for c, v in said.items()})
    found.remote = found.remote.filled()
    return found


def shown(old: object, new: object) -> str:
    """Return a change in words; `old` is None if there was no value."""
    return _word(new) if old is None else f"{_word(old)} → {_word(new)}"


def listed(targets: Iterable[PolicyTarget]) -> str:
    """Return targets in words, with their exclusions."""
    return ", ".join(_target_in_words(each) for each in targets)


def _target_in_words(found: PolicyTarget) -> str:
    left_out = ["boot volume"] if found.exclude_boot_volume else []
    left_out += found.exclude_volume_ids
    without = f" without {' '.join(left_out)}" if left_out else ""
    return f"{found} in {found.region}{without}{found.scripts_in_words}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) or '""'


def account(row: Policy, chosen: Account | None) -> dict[str, str]:
    """Give the policy the account; return the change in words."""
    if chosen is None or (row.pk and row.account_id == chosen.pk):
        return {}
    change = shown(row.account.name if row.pk else None, chosen.name)
    row.account = chosen
    return {"account": change}


def schedules(row: Policy, followed: Iterable[Schedule] | None) -> dict[str, str]:
    """Return the change in words if the policy's schedules are to change."""
    if followed is None:
        return {}
    old = sorted(row.schedules.values_list("name", flat=True)) if row.pk else []
    new = sorted({each.name for each in followed})
    if old == new:
        return {}
    return {"schedules": shown(", ".join(old) if row.pk else None, ", ".join(new))}
