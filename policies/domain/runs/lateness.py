"""How late a run began: from the time it was due to the moment at which its window was ordered. Pure."""

from collections.abc import Sequence
from datetime import datetime

from policies.domain.runs.trigger import Trigger

__all__ = ["most", "seconds"]


def seconds(
    trigger: str, attempt: int, scheduled_for: datetime | None, ordered_at: datetime | None
) -> float | None:
    """Return how late a run's before was started; None if it was not, or if nothing said when it should be.

    A retry and a run by hand are due when somebody, or a failure, says so: what they carry is another run's time.
    """
    if scheduled_for is None or ordered_at is None or trigger != Trigger.SCHEDULE or attempt != 1:
        return None
    return max(0.0, (ordered_at - scheduled_for).total_seconds())


def most(late: Sequence[float]) -> float:
    """Return how late all but one of twenty began at most; of fewer, how late the last one did."""
    ordered = sorted(late)
    return ordered[max(0, -(-len(ordered) * 19 // 20) - 1)] if ordered else 0.0
