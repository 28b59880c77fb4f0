"""The statistics of the benchmark."""

import pytest

from tests.bench.figures import Polls, interval, p95, ratio, spread


def test_a_spread_names_the_median_the_quartiles_and_what_95_percent_stay_below() -> None:
    found = spread([float(value) for value in range(101)])

    assert (found.rounds, found.median) == (101, 50)
    assert (found.lower_quartile, found.upper_quartile, found.p95) == (25, 75, 95)


def test_a_ratio_is_of_medians_and_lies_in_its_interval() -> None:
    found = ratio([2.0, 4.0, 400.0], [2.0, 2.0, 2.0])

    assert found.value == 2
    assert found.low <= found.value <= found.high
    assert ratio([2.0, 4.0, 400.0], [2.0, 2.0, 2.0]) == found  # the same for the same rows


def test_an_interval_is_narrow_where_the_values_agree() -> None:
    assert interval([3.0] * 5) == (3, 3)
    low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert 1 <= low < 3 < high <= 5
    assert interval([1.0, 2.0, 3.0, 4.0, 5.0], p95)[1] > high - 1


@pytest.mark.parametrize(
    ("polls", "excess"),
    [
        ([], 0),
        ([(1000, 5), (200, 1), (1, 1)], 0),
        ([(1000, 5), (201, 3)], 1),
        ([(400, 1)], -1),
    ],
)
def test_polls_are_held_against_one_call_for_each_begun_batch(
    polls: list[tuple[int, int]], excess: int
) -> None:
    assert Polls(polls).worst_excess == excess
    assert Polls(polls).calls == sum(calls for _, calls in polls)
