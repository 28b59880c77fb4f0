"""What OpenSSH, sudo and shells say when nothing starts, as sentences. The texts are theirs."""

import errno

import pytest

from scripts_admin.runners import refusals
from scripts_admin.runners.refusals import Why


@pytest.mark.parametrize(
    ("said", "why", "words"),
    [
        ("sudo: a password is required\n", Why.SUDO, "NOPASSWD"),
        (
            (
                "sudo: a terminal is required to read the password; either use the -S option to read from "
                "standard input or configure an askpass helper\nsudo: a password is required"
            ),
            Why.SUDO,
            "NOPASSWD",
        ),
        ("sudo: sorry, you must have a tty to run sudo\n", Why.TTY, "!requiretty"),
        ("eve is not in the sudoers file.\nThis incident has been reported", Why.SUDO, "NOPASSWD"),
        (
            "Sorry, user eve is not allowed to execute '/usr/bin/sh -c x' as root on db1.",
            Why.SUDO,
            "/bin/sh",
        ),
        ("bash: line 1: sudo: command not found\n", Why.SUDO, "install it"),
        ("sh: 1: sudo: not found\n", Why.SUDO, "install it"),
        ("This service allows sftp connections only.\n", Why.SFTP, "internal-sftp"),
        ("This account is currently not available.\n", Why.NO_LOGIN, "nologin"),
        ("nothing that is known", Why.NO_SESSION, "login shell"),
    ],
)
def test_a_start_that_failed_says_what_to_change(said: str, why: Why, words: str) -> None:
    error = refusals.of_start("eve", "db1", 1, said, sudo=True)

    assert error.why == why
    assert words in str(error)
    assert "db1" in str(error)
    assert said.split("\n", maxsplit=1)[0].split(";", maxsplit=1)[0] in str(error)


@pytest.mark.parametrize("status", [0, None])
def test_a_command_that_is_not_ours_is_a_forced_one(status: int | None) -> None:
    error = refusals.of_start("eve", "db1", status, 'evil "\x1b[31m<svg onload=x>', sudo=False)

    assert error.why == Why.FORCED
    assert "\x1b" not in str(error)
    assert "\\x1b[31m<svg onload=x>" in str(error)


def test_what_a_stranger_says_is_quoted_short() -> None:
    assert len(str(refusals.of_start("eve", "db1", 1, "x " * 100_000, sudo=False))) < 600


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ECONNREFUSED, Why.CLOSED),
        (errno.EHOSTUNREACH, Why.NO_ROUTE),
        (errno.ENETUNREACH, Why.NO_ROUTE),
        (errno.ETIMEDOUT, Why.SILENT),
    ],
)
def test_each_way_in_which_a_connection_fails_has_its_sentence(number: int, why: Why) -> None:
    error = refusals.of_connection(OSError(number, "x"), "db1 on port 2222", 5.0)

    assert error.why == why
    assert "db1 on port 2222" in str(error)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('Indecipherable protocol version "Exceeded MaxStartups"', Why.BUSY),
        ('Indecipherable protocol version "HTTP/1.1 400"', Why.NOT_SSH),
        ("Error reading SSH protocol banner", Why.BUSY),
    ],
)
def test_a_handshake_that_failed_says_why(said: str, why: Why) -> None:
    assert refusals.of_handshake(said, "db1").why == why
