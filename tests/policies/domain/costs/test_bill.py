"""Estimates: a block is paid for once, and nobody is told more than is known."""

from datetime import UTC, date, datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from policies.adapters import price_table
from policies.domain.costs import bill, prices
from policies.domain.costs.bill import Sized
from policies.domain.costs.prices import Prices

AT = datetime(2026, 3, 2, tzinfo=UTC)
TABLE = Prices(date(2026, 1, 1), "here", "USD", 0.05, {"eu-central-1": 0.1}, 0.0006)
GIB = 2_048


def chain(*changed: int, region: str = "us-east-1") -> list[Sized]:
    """Return a volume's snapshots: the first whole, each later one with so many changed blocks."""
    return [
        Sized(f"p{n}", "vol-1", region, AT + timedelta(days=n), 10 * GIB, number)
        for n, number in enumerate(changed)
    ]


def test_the_first_counts_whole_and_the_others_with_what_changed() -> None:
    found = bill.of(chain(10 * GIB, GIB, GIB), TABLE)
    assert (found.gib, found.snapshots, found.unmeasured) == (12.0, 3, 0)
    assert found.month == pytest.approx(0.6)
    assert bill.of(chain(10 * GIB, region="eu-central-1"), TABLE).month == pytest.approx(1.0)


def test_whoever_keeps_fewer_keeps_the_oldest_of_them_whole() -> None:
    found = bill.of(chain(10 * GIB, GIB, GIB, GIB), TABLE, {"p2", "p3"})
    assert (found.gib, found.snapshots) == (11.0, 2)
    # What changed in between is in the one that stays.
    assert bill.of(chain(10 * GIB, GIB, GIB, GIB), TABLE, {"p0", "p3"}).gib == 13.0
    assert bill.of(chain(10 * GIB, 9 * GIB, 9 * GIB), TABLE, {"p0", "p2"}).gib == 20.0


def test_what_nobody_has_counted_is_said_and_not_guessed() -> None:
    one = Sized("p9", "vol-9", "us-east-1", AT)
    found = bill.of([one, *chain(10 * GIB)], TABLE)
    assert (found.gib, found.snapshots, found.unmeasured) == (10.0, 2, 1)


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans()), min_size=1, max_size=12
    )
)
def test_no_estimate_is_above_whole_snapshots_or_below_the_largest(
    rows: list[tuple[int, int, bool]],
) -> None:
    snapshots = [
        Sized(str(n), "v", "us-east-1", AT + timedelta(days=n), blocks, min(changed, blocks))
        for n, (blocks, changed, _) in enumerate(rows)
    ]
    kept = {str(n) for n, (_, _, keep) in enumerate(rows) if keep}
    left = [one for one in snapshots if one.point in kept]
    found = bill.of(snapshots, TABLE, kept)
    assert found.snapshots == len(left)
    assert found.gib <= sum(one.blocks for one in left) * bill.BLOCK_GIB + 1e-9
    if left:
        assert found.gib >= left[0].blocks * bill.BLOCK_GIB - 1e-9


def test_a_trend_needs_two_days() -> None:
    assert bill.trend({date(2026, 1, 1): 2.0, date(2026, 1, 2): 3.0}) == 0.5
    assert bill.trend({date(2026, 1, 1): 2.0}) is None
    assert bill.trend({date(2026, 1, 1): 0.0, date(2026, 1, 2): 3.0}) is None


def test_the_table_of_the_release_can_be_read() -> None:
    found = prices.read(price_table.OWN.read_text())
    assert found.of("us-east-1") > 0
    assert found.of("xx-nowhere-9") == found.default
    assert found.source.startswith("https://")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not JSON"),
        ("[]", "must be a mapping"),
        ('{"as_of": "2026-01-01"}', "no snapshot_gib_month"),
        ('{"as_of": "2026-01-01", "snapshot_gib_month": {}}', "default"),
        ('{"as_of": "soon", "snapshot_gib_month": {"default": 1}}', "as_of is 'soon'"),
        ('{"as_of": "2026-01-01", "snapshot_gib_month": {"default": -1}}', "from 0 on"),
        ('{"as_of": "2026-01-01", "snapshot_gib_month": {"default": true}}', "from 0 on"),
        ('{"as_of": "2026-01-01", "snapshot_gib_month": {"default": NaN}}', "from 0 on"),
    ],
)
def test_a_wrong_table_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        prices.read(text)
