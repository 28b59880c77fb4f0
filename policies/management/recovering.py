"""What the commands print of recoveries."""

from typing import Any

from policies.models import Recovery
from policies.selectors import sources


def report(row: Recovery) -> str:
    """Return a recovery in a few lines."""
    lines = [
        f"Recovery {row.pk}: {row.kind.replace('_', ' ')} of {row.subject}",
        f"From: run {row.run_id_copied} of {row.label}{_from(sources.in_words(row.source))}",
        f"State: {row.state}",
    ]
    if row.reason:
        lines.append(f"Reason: {row.reason}")
    if row.waiting_for:
        lines.append(f"Waits: {row.waiting_for}")
    if row.full_speed_at and not row.ended_at:
        lines.append(
            f"At full speed by {row.full_speed_at:%Y-%m-%d %H:%M} UTC, as far as AWS tells"
        )
    for made in row.resources.all():
        source = f" from {made.from_snapshot}" if made.from_snapshot else ""
        loaded = f", {made.progress}% loaded" if made.progress is not None else ""
        lines.append(f"Made: {made.resource_id}{source}{loaded} ({made.fate})")
    lines += [f"{each.at:%Y-%m-%d %H:%M:%S} UTC  {each.text}" for each in row.events.all()]
    return "\n".join(lines)


def _from(source: str | None) -> str:
    return f", from the {source}" if source else ""


def rehearsed(found: dict[str, Any]) -> str:
    """Return what would be made, and what AWS says of it, in lines."""
    where = f"in {found['region']}, with the account {found['account']}{_from(found['source'])}"
    lines = [f"{found['kind'].replace('_', ' ').capitalize()} of {found['of']}, {where}:"]
    for number, step in enumerate(found["steps"], start=1):
        said = step["refusal"] or (
            "AWS permits it." if step["asked"] else "AWS cannot be asked yet."
        )
        lines.append(f"{number}. {step['says']} {said}")
    lines += [f"Note: {each}" for each in found["notes"]]
    for each in found["differs_from_today"]:
        lines.append(f"Differs from today: {each['subject']}: {each['then']} → {each['now']}")
    if found["confirm_with"]:
        lines.append(f"This changes {found['confirm_with']}: confirm it with --confirm.")
    return "\n".join(lines)
