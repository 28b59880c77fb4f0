"""How long the brake makes the next login wait."""

from scripts_admin.domain import brake
from tests.ground.properties import given, st


def test_the_first_failures_are_free_and_then_the_wait_doubles() -> None:
    free = brake.FREE_FOR_A_NAME
    waits = [brake.seconds(failures, free) for failures in range(free + 10)]

    assert waits == [0] * free + [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


@given(st.integers(min_value=0, max_value=10**9))
def test_no_wait_is_longer_than_the_longest(failures: int) -> None:
    assert 0 <= brake.seconds(failures, 5) <= brake.LONGEST_SECONDS
