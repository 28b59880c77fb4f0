"""A script's colours choose among fixed classes, and nothing else of it gets into the page."""

from n2wbackup.lib import ansi
from n2wbackup.lib.ansi import Part
from tests.ground.properties import given, st


def shown(text: str) -> list[Part]:
    return ansi.parts(text)[0]


def test_colours_become_classes() -> None:
    assert shown("a \x1b[31mred\x1b[0m b") == [Part("a "), Part("red", "ansi-red"), Part(" b")]
    assert shown("\x1b[1;92mfine") == [Part("fine", "ansi-bold ansi-green")]
    assert shown("\x1b[1mbold\x1b[22mnot") == [Part("bold", "ansi-bold"), Part("not")]
    assert shown("\x1b[31mred\x1b[39musual") == [Part("red", "ansi-red"), Part("usual")]


def test_a_colour_lasts_to_the_next_line() -> None:
    _, look = ansi.parts("\x1b[33mto")

    assert ansi.parts("be", look)[0] == [Part("be", "ansi-yellow")]


def test_shades_by_number_have_no_class_and_are_no_other_codes() -> None:
    assert shown("\x1b[38;5;31mx") == [Part("x")]
    assert shown("\x1b[48;2;31;32;33;4mx") == [Part("x", "ansi-underline")]


def test_other_codes_are_written_out() -> None:
    assert shown("\x1b[2Jx\x1b]0;t\x07\r") == [Part(r"\x1b[2Jx\x1b]0;t\x07")]


def test_a_search_sees_neither_colours_nor_what_acts() -> None:
    assert ansi.plain("\x1b[31mer\x1b[0mror\tx\x1b[2J") == r"error    x\x1b[2J"


@given(st.text(st.sampled_from("\x1b[]m;:0123456789<>\"' ax")))
def test_only_known_classes_come_out(text: str) -> None:
    found = shown(text)

    assert {name for part in found for name in part.classes.split()} <= ansi.CLASSES
    assert "\x1b" not in "".join(part.text for part in found)
