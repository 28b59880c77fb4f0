import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2wbackup.lib import redaction

# Without the letters of the mark, so that no secret is found in a mark.
ALPHABET = "xyz/+\n "


@given(
    text=st.text(ALPHABET),
    secrets=st.lists(st.text("xyz/+", min_size=redaction.SHORTEST, max_size=8)),
)
def test_no_secret_is_left_in_any_text(text: str, secrets: list[str]) -> None:
    masked = redaction.mask(text, secrets)

    assert [secret for secret in secrets if secret in masked] == []


@given(text=st.text())
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert redaction.mask(text, []) == text


def test_the_rest_of_the_text_is_kept() -> None:
    assert redaction.mask("key=hunter22, next", ["hunter22"]) == "key=[masked], next"


def test_secrets_that_overlap_become_one_mark() -> None:
    assert redaction.mask("<abcdef>", ["abcd", "cdef"]) == "<[masked]>"
    assert redaction.mask("<ababab>", ["abab"]) == "<[masked]>"


def test_a_secret_within_another_leaves_no_rest() -> None:
    assert redaction.mask("<longsecret>", ["long", "longsecret"]) == "<[masked]>"


@pytest.mark.parametrize("secret", ["", "a", "abc"])
def test_what_is_too_short_for_a_secret_is_left_alone(secret: str) -> None:
    assert redaction.mask("abcabc", [secret]) == "abcabc"


def test_a_secret_inside_json_and_urls_is_found() -> None:
    secret = 'pa"ss/w+rd\\1'
    text = f"{json.dumps({'k': secret})} https://u:{quote(secret, safe='')}@host"

    masked = redaction.mask(text, [secret])

    assert masked == '{"k": "[masked]"} https://u:[masked]@host'


@pytest.mark.parametrize("encoded", ["a%20b%2Fc", "a+b%2Fc", "a%20b/c", "a b/c"])
def test_every_way_of_writing_a_secret_into_a_url_is_found(encoded: str) -> None:
    assert redaction.mask(f"https://u:{encoded}@host", ["a b/c"]) == "https://u:[masked]@host"


def test_each_line_of_a_private_key_is_found_alone() -> None:
    key = "-----BEGIN KEY-----\nc29tZSBieXRlcw==\n-----END KEY-----\n"

    assert "c29tZSBieXRlcw" not in redaction.mask("line 2: c29tZSBieXRlcw==\r\n", [key])
