"""The parts of the benchmark that the arguments select."""

import argparse

import pytest

from tests.bench.__main__ import letters


@pytest.mark.parametrize(("text", "parts"), [("d", "d"), ("d,e", "de"), ("abcdefg", "abcdefg")])
def test_parts_are_named_by_letters_with_or_without_commas(text: str, parts: str) -> None:
    assert letters(text) == parts


@pytest.mark.parametrize("text", ["", ",", "x", "dx"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="name some of the parts abcdefg"):
        letters(text)
