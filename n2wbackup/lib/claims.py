"""Claims: who works on a row. Its `next_at` lies ahead for as long as somebody has it; then it is anybody's.

A process that dies leaves its claim behind, and it runs out. One that was stopped, and wakes up later, has lost it:
what it writes with `kept` changes nothing. A claim further ahead than any is counts as run out, because it was set
before the clock was put back.
"""

from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import models

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set


class Claimable(Protocol):
    """A row that can be claimed. `ended_at` is None for as long as there is something to do."""

    pk: Any
    next_at: datetime


def due(now: datetime, longest: timedelta) -> models.Q:
    """Return the rows that nobody has, if no claim and no pause is longer than `longest`."""
    return models.Q(next_at__lte=now) | models.Q(next_at__gt=now + longest + clock.SKEW)


def is_due(row: Claimable, now: datetime, longest: timedelta) -> bool:
    """Tell the same of one row."""
    return not now < row.next_at <= now + longest + clock.SKEW


def take(row: models.Model, lasts: timedelta, now: datetime, **changes: Any) -> bool:  # noqa: ANN401 - values of columns
    """Claim a row that has not ended, as it was read; of all who try, exactly one gets it.

    On True, the row and this object have the changes and the claim; on False, neither has.
    """
    changes["next_at"] = now + lasts
    if not kept(row, **changes):
        return False
    for name, value in changes.items():
        setattr(row, name, value)
    return True


def kept(row: models.Model, **changes: Any) -> bool:  # noqa: ANN401 - as above
    """Change a row that has not ended, and whose claim is still the one of this object; False: nothing is changed."""
    same = type(row)._default_manager.filter(pk=row.pk)  # noqa: SLF001 - Django names it so
    return compare_and_set(same, {"next_at": row.next_at, "ended_at": None}, **changes)  # type: ignore[attr-defined]
