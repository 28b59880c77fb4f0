"""What env starts; tests/contract has the real env beside it."""

import pytest

from scripts_admin.domain import env_words
from scripts_admin.domain.env_words import EnvError

ENVIRONMENT = {b"PATH": b"/bin", b"USER": b"al ice"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"bash -e", [b"bash", b"-e"]),
        (b"  bash\t-e \r\n", [b"bash", b"-e"]),
        (b"bash '-e  x' \"y z\"", [b"bash", b"-e  x", b"y z"]),
        (b"a''b ''", [b"ab", b""]),
        (b'a\\_b "c\\_d"', [b"a", b"b", b"c d"]),
        (b"x${USER}y ${NO} z", [b"xal icey", b"z"]),
        (b"'${USER}' \\$x", [b"${USER}", b"$x"]),
        (b"a#b # c", [b"a#b"]),
        (b"a \\c b", [b"a"]),
        (b"'a\\nb\\\\c\\'d'", [b"a\\nb\\c'd"]),
        (b"\\t\\#", [b"\t#"]),
        (b"", []),
    ],
)
def test_the_value_of_s_is_split_as_env_does(text: bytes, words: list[bytes]) -> None:
    assert env_words.split(text, ENVIRONMENT) == words


@pytest.mark.parametrize("text", [b"'a", b'"a', b"$USER", b"${1}", b"\\q", b'"\\c"', b"a\\"])
def test_what_env_cannot_split_is_an_error(text: bytes) -> None:
    with pytest.raises(EnvError):
        env_words.split(text, ENVIRONMENT)


def test_options_assignments_and_the_environment_are_read_in_their_order() -> None:
    found = env_words.started([b"-S-u USER -C /tmp A=b PATH=/x bash -e", b"script"], ENVIRONMENT)

    assert found.words == [b"bash", b"-e", b"script"]
    assert found.environment == {b"PATH": b"/x", b"A": b"b"}
    assert found.folder == b"/tmp"


def test_an_empty_environment_is_empty() -> None:
    assert env_words.started([b"-i", b"bash"], ENVIRONMENT).environment == {}
    assert env_words.started([b"-", b"A=b", b"bash"], ENVIRONMENT).environment == {b"A": b"b"}


def test_without_s_the_blanks_belong_to_the_program() -> None:
    assert env_words.started([b"bash -e", b"script"], ENVIRONMENT).words == [b"bash -e", b"script"]


def test_what_env_refuses_is_told_in_text_that_can_be_shown() -> None:
    for arguments in ([b"-\x1b"], [b"--\xff\xe2\x80\xae"], [b"-S", b"\\\x1b"], [b"-i x"]):
        with pytest.raises(EnvError) as raised:
            env_words.started([*arguments, b"script"], ENVIRONMENT)
        assert str(raised.value).isprintable()
        assert str(raised.value).isascii()
