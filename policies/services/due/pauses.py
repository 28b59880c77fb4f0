"""A pause of a policy: no due time in it starts a run, and it ends by itself."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from policies.models import Policy
from policies.services import protection

# The end of a pause counts as after it: "until 02:00" leaves out nothing that is due at 02:00.
_JUST_BEFORE = timedelta(seconds=1)
OVER: dict[str, Any] = {
    "paused_at": None,
    "paused_until": None,
    "paused_reason": "",
    "paused_by": "",
}


def is_paused(policy: Policy, now: datetime) -> bool:
    return policy.paused_until is not None and policy.paused_until > now


def counted_from(paused_until: datetime | None, now: datetime) -> datetime:
    """Return the moment after which a due time of a policy starts a run."""
    if paused_until is None or paused_until <= now:
        return now
    return paused_until - _JUST_BEFORE


def end_those_over(now: datetime) -> int:
    """Clear the pauses that are over; return how many. The next due times are planned already."""
    over = list(Policy.objects.filter(paused_until__lte=now).values_list("pk", flat=True))
    # A tick that only reads is cheap; an UPDATE would take the lock of all writers each second.
    if not over:
        return 0
    with transaction.atomic():
        ended = Policy.objects.filter(pk__in=over, paused_until__lte=now).update(**OVER)
        protection.renew(over)
    return ended
