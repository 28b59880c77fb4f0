"""What tags say about restore points, however they were written."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import hypothesis.strategies as st
from hypothesis import given

from policies.domain.copies import lost
from policies.domain.copies.lost import Piece
from policies.domain.runs.verdict import Consistency

AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
SERVER, RUN = str(uuid4()), str(uuid4())
WORDS = st.dictionaries(
    st.sampled_from(
        [
            "n2wbackup:server",
            "n2wbackup:run",
            "n2wbackup:copy",
            "n2wbackup:policy",
            "n2wbackup:owner",
            "n2wbackup:consistency",
            "n2wbackup:fired-at",
            "Name",
        ]
    ),
    st.one_of(
        st.text(max_size=40),
        st.just(RUN),
        st.just(SERVER),
        st.sampled_from(["application", "2026-03-02T04:00:00Z", "9999-12-31T23:59:59+14:00"]),
    ),
)


def piece(number: int = 1, minutes: int = 0, **tags: str) -> Piece:
    known = {"n2wbackup:server": SERVER, "n2wbackup:run": RUN}
    said = known | {f"n2wbackup:{key.replace('_', '-')}": value for key, value in tags.items()}
    at = AT + timedelta(minutes=minutes)
    return Piece(f"snap-{number:017x}", f"vol-{number}", "us-east-1", "completed", at, 1, said)


@given(st.lists(WORDS, max_size=6))
def test_no_tags_whatever_break_it_and_nothing_is_lost_or_told_twice(
    tags: list[dict[str, str]],
) -> None:
    pieces = [Piece(f"s{n}", "v", "r", "completed", AT, 1, one) for n, one in enumerate(tags)]

    points, unread = lost.points(pieces)

    told = [p.snapshot_id for point in points for p in (*point.originals, *point.copies)]
    told += [p.snapshot_id for p in unread]
    assert sorted(told) == sorted(p.snapshot_id for p in pieces)
    for point in points:
        assert point.at <= AT
        assert point.policy
        assert point.consistency in {Consistency.APPLICATION, Consistency.CRASH}


def test_the_snapshots_of_a_run_and_their_copies_are_one_point() -> None:
    own, copy = piece(1, policy="shop", owner="alice"), piece(2, 30, copy=str(uuid4()))
    ((point,), unread) = lost.points([copy, own])
    assert (point.originals, point.copies, unread) == ((own,), (copy,), [])
    assert (point.policy, point.owner, point.at) == ("shop", "alice", AT)


def test_of_copies_alone_their_tag_tells_the_time() -> None:
    ((point,), _) = lost.points([piece(2, 30, copy=str(uuid4()), fired_at="2026-03-02T04:00:01Z")])
    assert point.at == AT + timedelta(seconds=1)


def test_one_worse_snapshot_makes_the_point_worse() -> None:
    better, worse = piece(1, consistency="application"), piece(2, consistency="pending")
    ((point,), _) = lost.points([better, worse])
    assert point.consistency == Consistency.CRASH


def test_a_name_that_no_policy_can_have_is_not_taken_over() -> None:
    ((point,), _) = lost.points([piece(1, policy="../<b>")])
    assert point.policy == lost.NO_NAME


def test_the_instance_is_known_from_the_name() -> None:
    named = Piece("s", "v", "r", "completed", AT, 1, {"Name": "alice/shop i-0123456789abcdef0"})
    assert named.instance_id == "i-0123456789abcdef0"
    assert piece(1).instance_id == ""
