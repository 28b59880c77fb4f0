from datetime import UTC, datetime, timedelta

import pytest

from policies.domain.runs import lateness

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trigger", "attempt", "due", "ordered", "late"),
    [
        ("schedule", 1, NOON, NOON + timedelta(seconds=3.5), 3.5),
        ("schedule", 1, NOON, NOON - timedelta(seconds=1), 0.0),  # the clock was set back
        ("schedule", 1, NOON, None, None),
        ("schedule", 2, NOON, NOON, None),
        ("retry", 2, NOON, NOON, None),
        ("manual", 1, None, NOON, None),
    ],
)
def test_only_the_first_attempt_of_a_due_time_is_late(
    trigger: str, attempt: int, due: datetime | None, ordered: datetime | None, late: float | None
) -> None:
    assert lateness.seconds(trigger, attempt, due, ordered) == late


@pytest.mark.parametrize(
    ("late", "most"), [([], 0.0), ([3.0], 3.0), ([1.0] * 19 + [9.0], 1.0), ([9.0, 1.0], 9.0)]
)
def test_one_of_twenty_may_be_later(late: list[float], most: float) -> None:
    assert lateness.most(late) == most
