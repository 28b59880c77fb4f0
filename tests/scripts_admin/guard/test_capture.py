"""A script's output: bounded, and masked wherever a secret is."""

import base64
import tracemalloc
from itertools import pairwise
from urllib.parse import quote

import pytest

from n2wbackup.lib import redaction
from scripts_admin.guard.capture import LIMIT_BYTES, Capture
from tests.ground.properties import example, given, st

SECRET = b"s3cr3t-s3cr3t"


def fed(*chunks: bytes, limit: int = LIMIT_BYTES, secrets: tuple[bytes, ...] = (SECRET,)) -> str:
    capture = Capture(secrets, limit)
    for chunk in chunks:
        capture.feed(chunk)
    return capture.text()


def test_what_fits_is_kept_as_it_is() -> None:
    assert fed() == ""
    assert fed(b"one ", b"two\n") == "one two\n"
    assert fed(b"x" * 100, limit=100) == "x" * 100


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_a_secret_is_masked_wherever_two_reads_divide_it(cut: int) -> None:
    assert fed(b"a " + SECRET[:cut], SECRET[cut:] + b" z") == "a [masked] z"


def test_a_secret_that_comes_byte_by_byte_is_masked() -> None:
    assert fed(*(bytes([byte]) for byte in b"<" + SECRET + b">")) == "<[masked]>"


def test_what_only_begins_like_a_secret_is_kept() -> None:
    assert fed(SECRET[:-1], b"!") == SECRET[:-1].decode() + "!"
    assert fed(SECRET[:5]) == SECRET[:5].decode()


def test_a_secret_is_masked_where_the_cut_would_have_divided_it() -> None:
    for before in range(30, 60):
        text = fed(b"x" * before + SECRET + b"y" * 500, limit=100)
        assert "s3cr" not in text
        assert "3t-s" not in text


def test_head_and_tail_are_kept_and_the_cut_says_how_much_is_gone() -> None:
    text = fed(b"head" + b"x" * 1000 + b"tail", limit=100)

    assert text.startswith("head")
    assert text.endswith("tail")
    assert text.count("[… 908 bytes cut …]") == 1
    assert len(text) - len("\n[… 908 bytes cut …]\n") == 100


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert fed(b"ok \xff\xfe ok") == "ok �� ok"


def test_of_two_secrets_the_longer_is_masked_whole() -> None:
    assert fed(b"see abcdefgh", secrets=(b"abcd", b"abcdefgh")) == "see [masked]"


def test_a_secret_that_two_reads_divide_is_masked_in_base64_and_in_urls() -> None:
    secret = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    encoded = base64.b64encode(b"user:" + secret), quote(secret, safe="").encode()

    for written in encoded:
        for cut in range(len(written)):
            text = fed(b"= " + written[:cut], written[cut:] + b" =", secrets=(secret,))
            assert "[masked]" in text
            assert len(text) < 22


def test_a_short_secret_is_masked_as_a_word_wherever_two_reads_divide_it() -> None:
    assert fed(b"root", b"less ro", b"ot\n", secrets=(b"root",)) == "rootless [masked]\n"


def test_an_empty_secret_masks_nothing() -> None:
    assert fed(b"text", secrets=(b"",)) == "text"


def test_memory_stays_bounded_however_much_is_said() -> None:
    capture = Capture((SECRET,))
    chunk = b"x" * 65536
    tracemalloc.start()
    try:
        for _ in range(1000):
            capture.feed(chunk)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert used < 3 * LIMIT_BYTES
    assert "bytes cut" in capture.text()


@given(
    pieces=st.lists(
        st.sampled_from([SECRET, SECRET[:4], SECRET[4:], b"s", b"plain ", b"\n", b"\xc3\xa4"]),
        max_size=30,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=10),
)
@example(pieces=[SECRET[:4], SECRET, SECRET[4:]], cuts=[3, 9])
def test_how_it_is_divided_makes_no_difference(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in pairwise(edges)]

    text = fed(*chunks)

    assert text == redaction.masker((SECRET,)).mask(data).decode("utf-8", "replace")
    assert SECRET.decode() not in text
