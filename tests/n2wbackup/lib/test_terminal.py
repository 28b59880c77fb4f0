"""Foreign text made harmless for terminals, mails, pages and JSON."""

import unicodedata

import pytest

from n2wbackup.lib import terminal
from tests.ground.properties import given, st

# Whatever a terminal, a browser or a mail program acts on instead of showing it.
ACTED_ON = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text(st.characters(codec=None)))
def test_nothing_that_is_acted_on_is_left(text: str) -> None:
    assert {unicodedata.category(each) for each in terminal.line(text)} & ACTED_ON == set()
    kept = terminal.block(text).replace("\n", "").replace("\t", "")
    assert {unicodedata.category(each) for each in kept} & ACTED_ON == set()


@given(st.text(st.characters(codec=None)))
def test_what_is_harmless_stays_harmless(text: str) -> None:
    assert terminal.line(terminal.line(text)) == terminal.line(text)
    assert terminal.block(terminal.block(text)) == terminal.block(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=terminal.UNSEEN)))
def test_text_that_can_be_seen_stays_as_it_is(text: str) -> None:
    assert terminal.line(text) == text
    assert terminal.block(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\x00b\x7f", r"a\x00b\x7f"),
        ("pay\u202egnp.exe", r"pay\u202egnp.exe"),
        ("\u2066left\u2069", r"\u2066left\u2069"),
        ("a\u200bb\ufeff\u2060", r"a\u200bb\ufeff\u2060"),
        ("one\u2028two\u2029three\x85four", r"one\u2028two\u2029three\x85four"),
        ("\U000e0041tag", r"\U000e0041tag"),
        ("\u3164filler\u034f", r"\u3164filler\u034f"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\xe9"),
        ("\ud800", r"\ud800"),
        (
            "Zürich, 東京, عربي, ⚠️ \N{NO-BREAK SPACE}ok",
            "Zürich, 東京, عربي, ⚠️ \N{NO-BREAK SPACE}ok",
        ),
        (r"C:\x1b", r"C:\x1b"),
    ],
)
def test_what_would_be_acted_on_is_written_out(text: str, shown: str) -> None:
    assert terminal.line(text) == shown
    assert terminal.block(text) == shown


def test_a_line_stays_one_line_and_a_block_keeps_its_lines() -> None:
    assert terminal.line("one\r\ntwo\tthree") == r"one\x0d\x0atwo\x09three"
    assert terminal.block("one\r\ntwo\tthree\rfour\n") == "one\ntwo\tthree\\x0dfour\n"


def test_every_string_inside_a_value_is_made_harmless() -> None:
    value = {"k\x1b": ["a\x9b", 1, None, True, {"b": ("\u202e", "x\ny")}]}

    assert terminal.harmless(value) == {
        r"k\x1b": [r"a\x9b", 1, None, True, {"b": [r"\u202e", "x\ny"]}]
    }
