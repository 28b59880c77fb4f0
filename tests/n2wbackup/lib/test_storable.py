"""Texts from outside become texts that every database takes."""

import pytest

from n2wbackup.lib import storable


@pytest.mark.parametrize("poison", [chr(0), chr(0xD800), chr(0xDCFF)])
def test_what_a_database_refuses_is_replaced_and_the_rest_stays(poison: str) -> None:
    assert storable.text(f"a{poison}ü\n") == "a�ü\n"
    storable.text(poison).encode()
