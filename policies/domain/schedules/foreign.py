"""Schedules in other systems' words: AWS's `cron(…)` and `rate(…)`, and cron's `@daily`."""

import re

_AWS_CRON = re.compile(r"cron\((.*)\)", re.IGNORECASE)
_AWS_RATE = re.compile(r"rate\(\s*([1-9][0-9]{0,4})\s+(minute|hour|day)s?\s*\)", re.IGNORECASE)
_AWS_FIELDS = 6  # minute, hour, day of the month, month, day of the week, year
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def advice(text: str) -> str:
    """Return a sentence with what to write here, or "" if the text is in no other system's form."""
    plain = " ".join(text.split())
    if plain.lower() in _WORDS:
        return f"{plain!r} is not written here as five fields: write {_WORDS[plain.lower()]}."
    rate = _AWS_RATE.fullmatch(plain)
    if rate:
        return (
            f"{plain!r} is AWS's form: write every: {{{rate[2].lower()}s: {rate[1]}}} and starting "
            "in place of cron."
        )
    inner = _AWS_CRON.fullmatch(plain)
    fields = (inner[1] if inner else plain).split()
    if not inner and not (len(fields) == _AWS_FIELDS and "?" in fields):
        return ""
    ours = _ours(fields)
    said = f"{plain!r} is AWS's form of cron, which counts in UTC"
    if not ours:
        return f"{said} and cannot be written here: use five fields, such as 0 2 * * *."
    return f"{said}: write {ours} here, with timezone: UTC."


def _ours(fields: list[str]) -> str:
    """Return the five fields for AWS's six; "" if ours cannot say the same."""
    if len(fields) != _AWS_FIELDS or fields[5] != "*":
        return ""
    minute, hour, day, month, week_day = fields[:5]
    if re.search(r"[LW]", day) or re.search(r"[L#]", week_day):
        return ""
    if re.search(r"[0-9]", week_day):
        if "/" in week_day:
            return ""
        # AWS counts Sunday as 1, cron as 0.
        week_day = re.sub(r"[0-9]+", lambda found: str((int(found[0]) - 1) % 7), week_day)
    lasts = (59, 23, 31, 12, 6)
    ours = zip((minute, hour, day, month, week_day), lasts, strict=True)
    return " ".join(_field(field, last) for field, last in ours)


def _field(field: str, last: int) -> str:
    if field == "?":
        return "*"
    steps = re.fullmatch(r"([0-9]+)/([0-9]+)", field)
    if steps is None:
        return field
    return f"*/{steps[2]}" if steps[1] == "0" else f"{steps[1]}-{last}/{steps[2]}"
