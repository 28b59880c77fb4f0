"""The alarm receivers of an entry: their URLs, which come from variables, and their quiet hours."""

from collections.abc import Mapping

from django.core.exceptions import ValidationError

from policies.domain.document.marked import Entry, Mistake
from policies.domain.schedules import disabled
from policies.models import AlarmReceivers
from policies.services.alarms import receivers
from policies.services.document import columns
from policies.services.document.references import References

HOURS, ZONE = "quiet_hours", "quiet_timezone"
_KEYS = {"quiet_times": HOURS, "quiet_timezone": ZONE}


def enter(
    references: References, entry: Entry, found: AlarmReceivers, urls: Mapping[str, str]
) -> dict[str, str]:
    """Save what the entry says of the receivers; return what changed, in words, by key. Mistakes are reported."""
    changed = receivers.save(found, urls)
    told = {columns.key_of(column): columns.SECRET for column in changed}
    return told | _quiet(references, entry, found)


def _quiet(references: References, entry: Entry, found: AlarmReceivers) -> dict[str, str]:
    if not {HOURS, ZONE} & entry.values.keys():
        return {}
    lines, zone = found.quiet_times, entry.values.get(ZONE) or found.quiet_timezone
    if HOURS in entry.values:
        lines = _lines(references, entry)
    if {HOURS, ZONE} & entry.unread:
        return {}
    before = {HOURS: list(found.quiet_times), ZONE: found.quiet_timezone}
    try:
        changed = receivers.set_quiet(found, lines, zone)
    except ValidationError as error:
        for column, sentences in error.message_dict.items():
            references.tell(entry, _KEYS[column], " ".join(sentences))
        return {}
    after = {HOURS: list(found.quiet_times), ZONE: found.quiet_timezone}
    return {
        key: columns.shown(_words(before[key]), _words(after[key]))
        for key in before
        if changed and before[key] != after[key]
    }


def _lines(references: References, entry: Entry) -> list[str]:
    """Return the spans as lines; report each mistake at its place."""
    lines = []
    for each in entry.values[HOURS]:
        if each.unread:
            continue
        days, begins, ends = (each.values.get(key) for key in ("days", "from", "to"))
        try:
            lines.append(str(disabled.make(days or (), begins or "00:00", ends or "24:00")))
        except ValueError as error:
            references.mistakes.append(Mistake(each.place, str(error)))
            entry.unread.add(HOURS)
    return lines


def _words(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
