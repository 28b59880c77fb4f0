"""Paths of snapshots: whatever bytes a file system has, an address has them once, and a page harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.domain.browsing import paths
from policies.domain.browsing.paths import NotAPathError

NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: name not in {b".", b".."} and not set(name) & {0, ord("/")}
)
HOSTILE = [
    b'"><svg onload=alert(1)>',
    b"\x1b[31mred\x1b[0m",
    b"\xff\xfe not UTF-8",
    "\u202egpj.exe".encode(),
    b"a\nb",
    b"~2e~2e",
    b"%2e%2e",
    b" ",
]


@given(st.lists(NAMES, max_size=6))
def test_a_path_comes_back_from_its_address(names: list[bytes]) -> None:
    path = b"/".join(names)
    written = paths.token(path)

    assert paths.of_token(written) == path
    assert written.isascii()
    assert not set(written) & set(" \"'<>&?#%+\\\n")


@pytest.mark.parametrize(
    "text",
    [
        "..",
        "a/../b",
        "a//b",
        "/a",
        "a/",
        ".",
        "a~00b",
        "~2e~2e",
        "~61",
        "~2E",
        "a b",
        "~",
        "\u00e4",
    ],
)
def test_no_other_text_becomes_a_path(text: str) -> None:
    with pytest.raises(NotAPathError):
        paths.of_token(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_one_harmless_line(name: bytes) -> None:
    shown = paths.shown(name)

    assert shown.isprintable()
    assert "\u202e" not in shown


def test_what_is_no_utf_8_is_written_out() -> None:
    assert paths.shown(b"\xff.txt") == r"\xff.txt"


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256])
def test_a_file_system_that_lies_about_a_name_is_refused(name: bytes) -> None:
    with pytest.raises(NotAPathError):
        paths.below(b"folder", name)


def test_the_folders_above_a_path_are_named_from_the_top() -> None:
    crumbs = paths.crumbs(b"var/my files/\xff")

    assert [each.shown for each in crumbs] == ["var", "my files", r"\xff"]
    assert [each.token for each in crumbs] == ["var", "var/my~20files", "var/my~20files/~ff"]
    assert paths.crumbs(b"") == []


def test_a_path_that_is_too_long_is_none() -> None:
    with pytest.raises(NotAPathError):
        paths.checked(b"/".join([b"x" * 250] * 17))
