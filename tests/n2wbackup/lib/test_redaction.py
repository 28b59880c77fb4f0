"""Secrets are masked in whatever writing they come, and however the text is divided."""

import base64
import html
import json
import shlex
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest

from n2wbackup.lib import redaction
from n2wbackup.lib.redaction import SHORT
from tests.ground.properties import example, given, st

AWS = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
# Without the letters of the mark, so that no secret is found in a mark.
ALPHABET = "xyzXYZ019/+=\"'\\ &%ü"
SECRET = st.text(ALPHABET, min_size=SHORT, max_size=40).filter(lambda each: each.strip() == each)
WRITINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda secret: secret,
    "URL": lambda secret: quote(secret, safe=""),
    "URL with slashes": quote,
    "form": quote_plus,
    "URL in a URL": lambda secret: quote(quote(secret, safe=""), safe=""),
    "URL in small letters": lambda secret: _small(quote(secret, safe="")),
    "URL of JavaScript": lambda secret: quote(secret, safe="!'()*~"),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON of PHP": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret))[3:-3],
    "HTML": html.escape,
    "repr": lambda secret: repr(secret)[1:-1],
}
ALPHABETS = {"standard": base64.b64encode, "urlsafe": base64.urlsafe_b64encode}


def _small(url: str) -> str:
    parts = url.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


@pytest.mark.parametrize("writing", WRITINGS)
@given(secret=SECRET, around=st.tuples(st.text("., \n"), st.text("., \n")))
def test_a_secret_is_found_in_every_writing(
    writing: str, secret: str, around: tuple[str, str]
) -> None:
    before, after = around
    written = WRITINGS[writing](secret)

    assert redaction.mask(f"{before}{written}{after}", [secret]) == f"{before}[masked]{after}"


@given(secret=SECRET)
def test_a_secret_is_found_as_a_shell_writes_it(secret: str) -> None:
    traced = "'" + secret.replace("'", "'\\''") + "'"

    assert redaction.MARK in redaction.mask(f"+ login {shlex.quote(secret)}", [secret])
    assert redaction.mask(f"+ login {traced}", [secret]) == "+ login '[masked]'"


@pytest.mark.parametrize("alphabet", ALPHABETS)
@given(secret=SECRET, before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_a_secret_in_base64_is_found_at_every_place(
    alphabet: str, secret: str, before: bytes, after: bytes
) -> None:
    text = ALPHABETS[alphabet](before + secret.encode() + after).decode()

    masked = redaction.mask(text, [secret])

    assert redaction.MARK in masked
    # What is left are the whole groups before and after the secret: none has a bit of it.
    assert len(masked.replace(redaction.MARK, "").rstrip("=")) <= (
        len(before) * 8 // 6 + len(after) * 8 // 6 + 1
    )


@pytest.mark.parametrize("width", [64, 76])
@pytest.mark.parametrize("lead", range(80))
def test_base64_that_is_broken_into_lines_is_found(lead: int, width: int) -> None:
    whole = base64.b64encode(b"." * lead + AWS.encode() + b"." * 30).decode()
    lines = "\n".join(whole[at : at + width] for at in range(0, len(whole), width))

    masked = redaction.mask(lines, [AWS])

    before = masked.partition("[masked]")[0].replace("\n", "")
    assert set(base64.b64decode(before[: len(before) // 4 * 4])) <= {ord(".")}
    assert len(masked.replace("\n", "")) < len(whole) - 40


@given(text=st.text(), secrets=st.lists(st.text(min_size=1), max_size=3))
def test_no_secret_is_left_and_other_text_stays(text: str, secrets: list[str]) -> None:
    masked = redaction.mask(text, secrets)

    if masked == text:
        assert [each for each in secrets if len(each.strip()) >= SHORT and each in text] == []
    else:
        assert redaction.MARK in masked


@given(text=st.text(st.characters(codec=None)))
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert redaction.mask(text, []) == text
    assert redaction.mask(text, ["not-in-any-text-9"]) == text


def test_the_rest_of_the_text_is_kept() -> None:
    assert redaction.mask("key=hunter22, next", ["hunter22"]) == "key=[masked], next"


def test_secrets_that_overlap_become_one_mark() -> None:
    assert redaction.mask("<abcdefghijkl>", ["abcdefgh", "efghijkl"]) == "<[masked]>"
    assert redaction.mask("<ababababab>", ["abababab"]) == "<[masked]>"


def test_a_secret_within_another_leaves_no_rest() -> None:
    assert redaction.mask("<verylongsecret>", ["verylong", "verylongsecret"]) == "<[masked]>"


@pytest.mark.parametrize("secret", ["a", "abc", "root", "admin12"])
def test_a_short_secret_is_masked_only_as_a_whole_word(secret: str) -> None:
    within = (
        f"{secret}x x{secret} {secret}_ {secret}9 ü{secret} {base64.b64encode(secret.encode())!r}"
    )
    alone = f"{secret} ({secret}) p={secret}&q=%20{secret} \\n{secret}"

    assert redaction.mask(within, [secret]) == within
    assert (
        redaction.mask(alone, [secret])
        == "[masked] ([masked]) p=[masked]&q=%20[masked] \\n[masked]"
    )


def test_a_short_secret_with_an_edge_that_is_no_letter_is_a_word_there() -> None:
    assert redaction.mask("x+a9 y", ["+a9"]) == "x[masked] y"


@pytest.mark.parametrize("secret", ["", " ", "\n\n"])
def test_what_is_empty_masks_nothing(secret: str) -> None:
    assert redaction.mask("a text\n\nof lines", [secret]) == "a text\n\nof lines"


def test_a_secret_inside_json_and_urls_is_found() -> None:
    secret = 'pa"ss/w+rd\\1'
    text = f"{json.dumps({'k': secret})} https://u:{quote(secret, safe='')}@host"

    masked = redaction.mask(text, [secret])

    assert masked == '{"k": "[masked]"} https://u:[masked]@host'


def test_each_line_of_a_private_key_is_found_alone() -> None:
    key = "-----BEGIN KEY-----\nc29tZSBieXRlcw==\n-----END KEY-----\n"

    assert "c29tZSBieXRlcw" not in redaction.mask("line 2: c29tZSBieXRlcw==\r\n", [key])


def test_a_private_key_that_is_encoded_as_a_whole_is_found() -> None:
    key = "-----BEGIN KEY-----\nc29tZSBieXRlcw==\n-----END KEY-----\n"
    encoded = base64.b64encode(key.encode()).decode()

    assert redaction.mask(f"key: {encoded}", [key]).startswith("key: [masked]")


PIECES = [AWS, AWS[:9], AWS[9:], quote(AWS, safe=""), "pw1", " ", "x", "\n", "ä", "%", "\\"]
PIECES += [base64.b64encode(f"{'.' * n}{AWS}".encode()).decode() for n in range(3)]


@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=12),
    cuts=st.lists(st.integers(0, 900), max_size=12),
)
@example(pieces=[AWS[:9], AWS, AWS[9:]], cuts=[3, 9, 20])
@example(pieces=["x", "pw1", "x", " ", "pw1"], cuts=[1, 4, 5, 6])
def test_how_a_text_is_divided_makes_no_difference(pieces: list[str], cuts: list[int]) -> None:
    data = "".join(pieces).encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    stream = redaction.masker((AWS.encode(), b"pw1")).stream()

    masked = b"".join(stream.feed(data[a:b]) for a, b in pairwise(edges)) + stream.rest()

    assert masked == redaction.masker((AWS.encode(), b"pw1")).mask(data)
    assert AWS.encode() not in masked


def test_a_stream_holds_back_no_more_than_a_secret_may_be_long() -> None:
    stream = redaction.masker((AWS.encode(),)).stream()

    given_out = sum(len(stream.feed(AWS.encode()[:20] * 100)) for _ in range(50))

    assert 20 * 100 * 50 - given_out < 2_000


def test_looking_at_the_rest_of_a_stream_changes_nothing() -> None:
    stream = redaction.masker((AWS.encode(),)).stream()
    out = stream.feed(AWS[:20].encode())

    assert stream.rest() == AWS[:20].encode()
    assert out + stream.feed(AWS[20:].encode()) + stream.rest() == b"[masked]"
