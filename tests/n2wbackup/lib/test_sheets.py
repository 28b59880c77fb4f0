"""Rows as CSV: one line a row, and nothing in it acts on whoever reads it."""

from datetime import UTC, datetime

import pytest

from n2wbackup.lib import sheets


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (-1.5, "-1.5"),
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00+00:00"),
        ("=1+1", "'=1+1"),
        ("@now", "'@now"),
        ("-x", "'-x"),
        ("\t=1", "\\x09=1"),
        ('a "b", c', '"a ""b"", c"'),
        ("two\nlines", "two\\x0alines"),
    ],
)
def test_a_cell_is_harmless(value: object, shown: str) -> None:
    assert list(sheets.lines(["a"], [[value]])) == ["a\r\n", f"{shown}\r\n" if shown else '""\r\n']


def test_no_row_is_read_before_it_is_written() -> None:
    read = []

    def rows() -> object:
        for number in range(3):
            read.append(number)
            yield [number]

    lines = sheets.lines(["number"], rows())  # type: ignore[arg-type] # a generator

    assert (next(lines), read) == ("number\r\n", [])
    assert (next(lines), read) == ("0\r\n", [0])
