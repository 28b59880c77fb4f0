"""From which byte a download goes on."""

import pytest

from policies.domain.browsing import ranges
from policies.domain.browsing.ranges import Wanted

TAG = ranges.tag("snap-1", b"a", 10)


@pytest.mark.parametrize(
    ("header", "only_if", "start"),
    [
        ("", "", 0),
        ("bytes=7-", "", 7),
        ("bytes=7-", TAG, 7),
        (" bytes=7- ", f" {TAG} ", 7),
        ("bytes=7-", '"of something else"', 0),
        ("bytes=7-", "Sun, 29 Nov 2026 10:00:00 GMT", 0),
        ("bytes=7-9", "", 0),
        ("bytes=-7", "", 0),
        ("bytes=0-1,7-", "", 0),
        ("bytes=\u0667-", "", 0),
        ("bytes=" + "9" * 40 + "-", "", 0),
        ("lines=7-", "", 0),
    ],
)
def test_only_the_rest_of_the_same_content_is_sent(header: str, only_if: str, start: int) -> None:
    assert Wanted(header, only_if).start(TAG) == start


def test_a_tag_is_of_one_content() -> None:
    others = [("snap-1", b"b", 10), ("snap-1", b"a", 11), ("snap-2", b"a", 10)]

    assert ranges.tag("snap-1", b"a", 10) == TAG
    assert len({TAG, *(ranges.tag(*each) for each in others)}) == 4
