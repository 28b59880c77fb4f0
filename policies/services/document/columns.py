"""What an entry of the document says about a row: its columns set, each change told in words.

Only `configuration` uses this; nothing here saves.
"""

from collections.abc import Iterable, Mapping

from django.db import models

from policies.domain.document.marked import Entry, Place
from policies.models import Policy, PolicyTarget, Schedule

SECRET = "(set)"  # noqa: S105 - what is shown in the place of a secret
USER = {"email": "email", "superuser": "is_superuser", "active": "is_active"}
ACCOUNT = {
    "auth": "auth",
    "access_key_id": "access_key_id",
    "role_arn": "role_arn",
    "region": "region",
}
_SCHEDULE = {
    "cron": "cron",
    "starting": "starting",
    "ending": "ending",
    "timezone": "timezone",
}
_POLICY = {
    "enabled": "enabled",
    "max_freeze_seconds": "max_freeze_seconds",
    "snapshot_timeout_hours": "snapshot_timeout_hours",
    "thaw_retry_minutes": "thaw_retry_minutes",
}
_RETRIES = {"count": "retry_count", "minutes": "retry_minutes"}
_SCRIPTS = {
    "enabled": "scripts_enabled",
    "collect_output": "collect_output",
    "skip_snapshots_when_before_fails": "skip_snapshots_when_before_fails",
}
_TIMEOUTS = {
    "before": "before_timeout_seconds",
    "after": "after_timeout_seconds",
    "complete": "complete_timeout_seconds",
}
_TARGET = {
    "instance": "instance_id",
    "volume": "volume_id",
    "region": "region",
    "exclude_boot_volume": "exclude_boot_volume",
    "exclude_volumes": "exclude_volume_ids",
}
# Nobody needs to read them, and outputs are kept.
_NEVER_SHOWN = {"access_key_id", "secret_access_key"}


def name(entry: Entry) -> str | None:
    """Return the entry's name, or None where it could not be read."""
    return None if "name" in entry.unread else entry.values.get("name")


def reference(entry: Entry) -> str:
    """Return how other entries refer to this one, in lower case; what is unreadable is empty."""
    owner = f"{entry.values.get('owner', '')}/" if "owner" in entry.places else ""
    return f"{owner}{entry.values.get('name', '')}".lower()


def fill(row: models.Model, entry: Entry, columns: Mapping[str, str]) -> dict[str, str]:
    """Set the columns of the keys that the entry names; return what changed, in words, by column."""
    fields = {}
    for key, column in columns.items():
        if key not in entry.values:
            continue
        new, old = entry.values[key], getattr(row, column)
        if not row.pk or old != new:
            setattr(row, column, new)
            hidden = column in _NEVER_SHOWN
            fields[column] = SECRET if hidden else shown(old if row.pk else None, new)
    return fields


def fill_policy(row: models.Model, entry: Entry) -> dict[str, str]:
    """Set the columns of a policy, those of its scripts included; as `fill`."""
    nothing = Entry(entry.place)
    scripts = entry.values.get("scripts", nothing)
    return {
        **fill(row, entry, _POLICY),
        **fill(row, entry.values.get("retries", nothing), _RETRIES),
        **fill(row, scripts, _SCRIPTS),
        **fill(row, scripts.values.get("timeout_seconds", nothing), _TIMEOUTS),
    }


def fill_schedule(row: Schedule, entry: Entry) -> dict[str, str]:
    """Set the columns of a schedule; as `fill`. Whoever names cron takes every out, and the other way round."""
    before = _when(row) if row.pk else {}
    fields = fill(row, entry, _SCHEDULE)
    if "every" in entry.values:
        numbers = entry.values["every"].values
        row.every_unit, row.every_number = next(iter(numbers.items()), ("", None))
        row.cron = entry.values.get("cron", "")
    elif "cron" in entry.values:
        row.every_unit, row.every_number = "", None
        row.starting = entry.values.get("starting", "")
    for column, after in _when(row).items():
        if before.get(column, "") != after:
            fields[column] = shown(before.get(column), after)
    return fields


def _when(row: Schedule) -> dict[str, str]:
    return {"cron": row.cron, "every_number": every_in_words(row), "starting": row.starting}


def every_in_words(row: Schedule) -> str:
    """Return what a schedule counts by, or nothing."""
    return f"{row.every_number} {row.every_unit}" if row.every_unit else ""


def unread_of_schedule(entry: Entry) -> set[str]:
    """Return the columns that the entry names and whose values could not be read."""
    unread = {"cron", "starting", "ending", "timezone", "disabled"} & entry.unread
    return unread | ({"every_number", "every_unit"} if "every" in entry.unread else set())


def unread_of_policy(entry: Entry) -> set[str]:
    """Return the columns that the entry names and whose values could not be read."""
    numbers = {*_POLICY.values(), *_RETRIES.values(), *_TIMEOUTS.values()}
    return {column for column in numbers if _is_unread(entry, column)}


def _is_unread(entry: Entry, column: str) -> bool:
    for step in _path(column):
        if step not in entry.values:
            return step in entry.unread
        if not isinstance(entry.values[step], Entry):
            return False
        entry = entry.values[step]
    return False


def place(entry: Entry, column: str) -> Place:
    """Return where the entry says what the column holds, or where it would."""
    steps = _path(column)
    for number, step in enumerate(steps):
        below = entry.values.get(step)
        if not isinstance(below, Entry):
            return entry.where(".".join(steps[number:]))
        entry = below
    return entry.place


def named(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the changes by the keys that say the columns."""
    return {".".join(_path(column)): words for column, words in fields.items()}


def _path(column: str) -> list[str]:
    keys = {
        "username": ["name"],
        "is_superuser": ["superuser"],
        "is_active": ["active"],
        "secret_access_key": ["secret_access_key_env"],
        "urls": ["alarm_urls_env"],
        "ping_url": ["ping_url_env"],
    }
    keys |= {"every_number": ["every"], "every_unit": ["every"]}
    keys |= {column: ["retries", key] for key, column in _RETRIES.items()}
    keys |= {column: ["scripts", key] for key, column in _SCRIPTS.items()}
    keys |= {column: ["scripts", "timeout_seconds", key] for key, column in _TIMEOUTS.items()}
    return keys.get(column, [column])


def followed(row: Policy, schedules: Iterable[Schedule] | None) -> dict[str, str]:
    """Return the change, in words, where the policy is to follow other schedules than it does."""
    if schedules is None:
        return {}
    old = sorted(row.schedules.values_list("name", flat=True)) if row.pk else []
    new = sorted({each.name for each in schedules})
    if old == new:
        return {}
    return {"schedules": shown(", ".join(old) if row.pk else None, ", ".join(new))}


def target(entry: Entry) -> PolicyTarget:
    """Return the target that the entry says; its policy is not set yet."""
    values = {column: entry.values[key] for key, column in _TARGET.items() if key in entry.values}
    if "exclude_volume_ids" in values:
        values["exclude_volume_ids"] = list(values["exclude_volume_ids"])
    return PolicyTarget(**values)


def target_key(column: str) -> str:
    """Return the key of a target that says the column."""
    return next(key for key, of in _TARGET.items() if of == column)


def shown(old: object, new: object) -> str:
    """Return a change in words; `old` None: there was nothing."""
    return _word(new) if old is None else f"{_word(old)} → {_word(new)}"


def listed(targets: Iterable[PolicyTarget]) -> str:
    """Return targets in words, exclusions included."""
    return ", ".join(_target_in_words(each) for each in targets)


def _target_in_words(found: PolicyTarget) -> str:
    left_out = ["boot volume"] if found.exclude_boot_volume else []
    left_out += found.exclude_volume_ids
    without = f" without {' '.join(left_out)}" if left_out else ""
    return f"{found} in {found.region}{without}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) or '""'
