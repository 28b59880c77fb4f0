"""What was printed is the same again, however it was cut; any byte and any line of it can be found."""

from policies.domain.runs import printed
from policies.domain.runs.printed import NOTHING, Line, Piece
from tests.ground.properties import given, st

ANY = st.text(st.sampled_from("\nab\N{LATIN SMALL LETTER E WITH ACUTE}"), max_size=40).map(
    str.encode
)
SIZES = st.integers(1, 9)


@given(ANY, SIZES)
def test_pieces_together_are_the_whole(data: bytes, size: int) -> None:
    found = list(printed.pieces(data, size))

    assert printed.joined(found).data == data
    assert all(piece.line == data[: piece.start].count(b"\n") for piece in found)


@given(ANY, SIZES, st.integers(0, 50))
def test_a_part_from_any_byte_knows_its_line(data: bytes, size: int, start: int) -> None:
    found = [piece for piece in printed.pieces(data, size) if piece.end > start]

    cut = printed.cut_from(printed.joined(found), start)

    assert cut.data == data[start:]
    if found:
        assert cut.line == data[:start].count(b"\n")


@given(ANY, st.integers(1, 6))
def test_the_last_lines_are_the_last_ones(data: bytes, count: int) -> None:
    every = printed.lines(Piece(0, 0, data))

    assert printed.lines(printed.last_lines(Piece(0, 0, data), count)) == every[-count:]


@given(ANY, SIZES, st.integers(1, 12), st.integers(1, 6))
def test_lines_from_a_number_on(data: bytes, size: int, number: int, count: int) -> None:
    every = printed.lines(Piece(0, 0, data))
    first = [piece for piece in printed.pieces(data, size) if piece.line < number - 1]
    rest = printed.joined(list(printed.pieces(data, size))[max(0, len(first) - 1) :])

    found = printed.lines(printed.from_line(rest, number, count))

    assert found == every[number - 1 : number - 1 + count]


def test_a_line_that_may_still_grow_waits() -> None:
    assert printed.whole_lines(Piece(5, 2, b"a\nb")) == Piece(5, 2, b"a\n")
    assert printed.whole_lines(Piece(5, 2, b"ab")).data == b""
    assert printed.whole_lines(Piece(5, 2, b"ab"), most=1).data == b"ab"


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert printed.lines(Piece(0, 6, b"\xff\n")) == [Line(7, "\N{REPLACEMENT CHARACTER}")]
    assert printed.lines(NOTHING) == []
