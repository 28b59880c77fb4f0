"""Settings that cannot be meant are one sentence without a secret, in a process of their own."""

import os
from pathlib import Path

import pytest

from tests.n2wbackup.lib import test_settings


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://u:hunter22@@db/n2w", "a character in its password that is not encoded"),
        ("postgres://u:hunter22@db:abc/n2w", "has a host or a port (1 to 65535)"),
        ("postgres://u:hunter22@db", "must end in the name of one database"),
        ("postgres://u:hunter22@/run/postgresql/n2w", "must end in the name of one database"),
        (
            "postgres://u:hunter22@db/n2w?options=-csearch_path%3Dx",
            "which a pool such as pgbouncer",
        ),
        ("sqlite://", "DATABASE_URL names no file"),
        ("postgres://u:hunter22@db/n2w?sslmod=require", "that PostgreSQL's client does not know"),
        ("postgres://u:hunter22@db/n2w?connect_timeout=soon", "connect_timeout, which is no whole"),
        ("postgres://u:hunter22@db/n2w?keepalives_idle=", "keepalives_idle, which is no whole"),
        ("postgres://u:hunter22@db/n2w?sslmode=verify-ful", "sslmode is one of disable, allow"),
        ("postgres://u@db/n2w?password=hunter22", "its password behind the ?"),
        ("postgres://u@db/n2w?sslpassword=hunter22", "its password behind the ?"),
    ],
)
def test_a_database_url_that_cannot_be_meant_is_one_sentence(
    tmp_path: Path, url: str, said: str
) -> None:
    refusal = test_settings._refusal(N2W_HOME=str(tmp_path), DATABASE_URL=url)

    assert said in refusal
    assert "hunter22" not in refusal
    assert refusal.count("\n") == 1


@pytest.mark.parametrize("place", ["%2Frun%2FPg%20x/n2w", "//run/Pg%20x/n2w"])
def test_the_folder_of_postgresqls_socket_keeps_its_case(tmp_path: Path, place: str) -> None:
    (databases,) = test_settings._read(
        "DATABASES", N2W_HOME=str(tmp_path), DATABASE_URL=f"postgres://u@{place}"
    )

    assert isinstance(databases, dict)
    assert databases["default"]["HOST"] == "/run/Pg x"
    assert databases["default"]["NAME"] == "n2w"


def test_options_that_postgresqls_client_knows_are_passed_on(tmp_path: Path) -> None:
    url = "postgres://u:p@db/n2w?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=9"

    (databases,) = test_settings._read("DATABASES", N2W_HOME=str(tmp_path), DATABASE_URL=url)

    assert isinstance(databases, dict)
    options = databases["default"]["OPTIONS"]
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", "/ca.pem")
    assert options["connect_timeout"] == "9"


def test_a_pool_in_transaction_mode_loses_nothing(tmp_path: Path) -> None:
    (databases,) = test_settings._read(
        "DATABASES", N2W_HOME=str(tmp_path), DATABASE_URL="postgres://u:p@db:6432/n2w"
    )

    assert isinstance(databases, dict)
    assert databases["default"]["DISABLE_SERVER_SIDE_CURSORS"] is True
    assert "options" not in databases["default"]["OPTIONS"]


def test_an_empty_file_of_a_secret_is_refused_and_no_key_is_made(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")

    said = test_settings._refusal(
        N2W_HOME=str(tmp_path / "home"), SECRET_KEY_FILE=str(tmp_path / "key")
    )

    assert f"SECRET_KEY_FILE names {tmp_path}/key, which is empty: write the value" in said
    assert not (tmp_path / "home" / "secrets" / "secret-key").exists()


@pytest.mark.parametrize("name", ["SECRET_KEY", "N2W_ENCRYPTION_KEYS", "DATABASE_URL", "N2W_PORT"])
def test_a_variable_and_a_file_for_it_are_refused_together(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("hunter23")

    said = test_settings._refusal(
        **{
            "N2W_HOME": str(tmp_path / "home"),
            name: "hunter22",
            f"{name}_FILE": str(tmp_path / "file"),
        }
    )

    assert f"{name} and {name}_FILE are both set, and only one can be meant: unset one" in said
    assert "hunter" not in said
    assert not (tmp_path / "home" / "secrets" / name.lower().replace("_", "-")).exists()


@pytest.mark.parametrize("empty", ["SECRET_KEY", "SECRET_KEY_FILE"])
def test_an_empty_one_of_the_two_counts_as_unset(tmp_path: Path, empty: str) -> None:
    (tmp_path / "key").write_text("meant")
    given = {"SECRET_KEY": "meant", "SECRET_KEY_FILE": str(tmp_path / "key")} | {empty: ""}

    assert test_settings._read("SECRET_KEY", N2W_HOME=str(tmp_path), **given) == ["meant"]


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")

    said = test_settings._refusal(N2W_HOME=str(tmp_path / "home"))

    assert f"N2W_HOME is {tmp_path}/home, which is not a folder: set it to one." in said


@pytest.mark.parametrize("text", ["0", "17", "two", "-1", "²"])
def test_a_number_of_freeze_processes_that_cannot_be_meant_is_one_sentence(
    tmp_path: Path, text: str
) -> None:
    refusal = test_settings._refusal(N2W_HOME=str(tmp_path), N2W_FREEZE_PROCESSES=text)

    assert "N2W_FREEZE_PROCESSES is" in refusal
    assert "set it to a number of processes from 1 to 16" in refusal
    assert refusal.count("\n") == 1


def test_there_are_as_many_freeze_processes_as_cores_unless_a_number_is_set(tmp_path: Path) -> None:
    home, cores = str(tmp_path), min(8, len(os.sched_getaffinity(0)))

    assert test_settings._read("N2W_FREEZE_PROCESSES", N2W_HOME=home) == [cores]
    assert test_settings._read("N2W_FREEZE_PROCESSES", N2W_HOME=home, N2W_FREEZE_PROCESSES="3") == [
        3
    ]
