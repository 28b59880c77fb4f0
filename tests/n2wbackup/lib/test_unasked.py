"""What a library would load only because it is installed can be kept away from it."""

import sys

import pytest

from n2wbackup.lib import unasked


def test_what_is_left_out_cannot_be_imported_within_the_block_and_can_after_it() -> None:
    name = "this"  # a module of Python's own that nothing loads
    assert name not in sys.modules

    with unasked.left_out(name), pytest.raises(ImportError):
        __import__(name)

    assert name not in sys.modules


def test_what_is_loaded_already_stays() -> None:
    before = sys.modules["json"]

    with unasked.left_out("json"):
        assert sys.modules["json"] is before

    assert sys.modules["json"] is before


def test_an_error_in_the_block_leaves_nothing_hidden() -> None:
    with pytest.raises(RuntimeError), unasked.left_out("this"):
        raise RuntimeError

    assert "this" not in sys.modules
