"""What differs between two texts."""

from n2wbackup.lib import differences
from n2wbackup.lib.differences import Line
from tests.ground.properties import given, st


def signs(before: str, after: str) -> list[str]:
    found = differences.lines(before, after)
    assert found is not None
    return [f"{each.sign}{each.text}" for each in found if each.kind in {"gone", "new"}]


def test_a_changed_line_is_gone_and_new() -> None:
    assert signs("a\nb\nc\n", "a\nx\nc\n") == ["-b", "+x"]


def test_the_same_text_has_no_difference() -> None:
    assert differences.lines("a\nb\n", "a\nb\n") == []


def test_line_ends_can_be_seen() -> None:
    assert signs("a\r\nb\n", "a\nb\n") == ["-a\r", "+a"]
    assert signs("a", "a\n") == ["+"]


def test_lines_have_the_numbers_of_both_texts_and_far_ones_are_left_out() -> None:
    before = "\n".join(map(str, range(100)))
    after = before.replace("50\n", "fifty\nmore\n")

    found = differences.lines(before, after)

    assert found is not None
    assert found[0] == found[-1] == Line("skipped")
    assert Line("gone", "50", 51) in found
    assert Line("new", "more", None, 52) in found
    assert found[-2] == Line("same", "53", 54, 55)
    assert len(found) == 2 + 3 + 3 + 3


def test_two_long_texts_that_have_nothing_in_common_are_not_compared() -> None:
    long = "\n".join(map(str, range(5000)))
    assert differences.lines(long, long.replace("7", "x")) is None
    assert differences.lines(long, f"{long}\nmore") is not None


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_every_line_of_both_texts_is_told_near_a_change(old: list[str], new: list[str]) -> None:
    before, after = "\n".join(old), "\n".join(new)
    found = differences.lines(before, after) or []
    a, b = before.split("\n"), after.split("\n")
    for each in found:
        if each.before is not None:
            assert a[each.before - 1] == each.text
        if each.after is not None:
            assert b[each.after - 1] == each.text
    gone, more = sum(e.kind == "gone" for e in found), sum(e.kind == "new" for e in found)
    assert len(b) - len(a) == more - gone
