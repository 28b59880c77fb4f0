"""The name under which a browser saves a file ends no header and leads nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.domain.browsing import names
from tests.policies.domain.browsing.test_paths import HOSTILE


@given(st.binary(max_size=300))
def test_a_name_of_any_bytes_is_a_safe_header(raw: bytes) -> None:
    value = names.disposition(names.of_bytes(raw))

    assert value.isascii()
    assert value.isprintable()
    assert value.count('"') == 2
    assert not set(value) & set("\\/\r\n")


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_hostile_name_is_a_safe_header(raw: bytes) -> None:
    assert "<" not in names.disposition(names.of_bytes(raw))


def test_a_name_in_another_script_stays_readable() -> None:
    value = names.disposition(names.of_bytes("größe.txt".encode()))

    assert value == "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"


@pytest.mark.parametrize("raw", [b"", b".", b"..", b" . ", b"/", b"\0"])
def test_a_name_that_is_none_gets_one(raw: bytes) -> None:
    assert names.of_bytes(raw).strip("._ ") in {"", "file"}
    assert names.of_bytes(raw) not in {"", ".", ".."}
