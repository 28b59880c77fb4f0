"""Pause a policy for a time, with a reason: its schedules start no run until the end. A pause always has an end."""

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib import clock
from policies.models import Policy
from policies.services import protection
from policies.services.due import pauses, ticking
from policies.services.entry import audited

LONGEST = timedelta(days=366)
MAX_REASON = 200


def check(until: datetime | None, reason: str) -> None:
    """Raise ValidationError, by field, if nobody can pause a policy like this."""
    wrong = {}
    now = clock.now()
    if until is None:
        wrong["until"] = "A pause needs an end: enter a date and a time."
    elif until <= now:
        wrong["until"] = (
            f"{until:%Y-%m-%d %H:%M} UTC is in the past: enter a time that is still to come."
        )
    elif until > now + LONGEST:
        wrong["until"] = (
            f"A pause lasts {LONGEST.days} days at most: enter an earlier time, or disable the policy."
        )
    if not reason.strip():
        wrong["reason"] = (
            "A pause needs a reason, for everyone who finds the policy paused: enter one."
        )
    elif not reason.isprintable() or len(reason) > MAX_REASON:
        wrong["reason"] = (
            f"The reason must be one line of at most {MAX_REASON} characters: shorten it."
        )
    if wrong:
        raise ValidationError(wrong)


def pause(policy: Policy, *, until: datetime, reason: str, by: str) -> None:
    """Pause the policy, or change its pause. On ValidationError nothing is changed. A run in progress continues."""
    check(until, reason)
    _write(
        policy,
        paused_at=clock.now(),
        paused_until=until,
        paused_reason=reason.strip(),
        paused_by=by,
    )


def resume(policy: Policy) -> None:
    """End the pause now; nothing if there is none. What was due in it is not made up for."""
    _write(policy, **pauses.OVER)


def _write(policy: Policy, **columns: Any) -> None:  # noqa: ANN401 - values of columns
    with transaction.atomic():
        rows = Policy.objects.select_for_update(of=("self",)).select_related("owner")
        row = rows.only("pk", "name", "owner", "paused_at").get(pk=policy.pk)
        until = columns["paused_until"]
        if until is None and row.paused_at is None:
            return
        if until is not None and row.paused_at is not None:
            columns["paused_at"] = row.paused_at  # a changed pause began when it began
        with ticking.replanned([policy.pk]):
            Policy.objects.filter(pk=policy.pk).update(**columns)
        end = f"{until:%Y-%m-%d %H:%M} UTC" if until else ""
        audited.enter_pause(row, end, columns["paused_reason"])
        protection.renew([policy.pk])
