"""What `serve` checks before it starts anything."""

import tempfile
from collections.abc import Callable
from functools import partial
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError
from django.test import override_settings

from n2wbackup.lib import trouble
from n2wbackup.processes import supervisor
from policies.services.watch import abandoned


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, db: None) -> list[str]:
    """Return the list of what was started; nothing really starts."""
    names: list[str] = []
    monkeypatch.setattr(tempfile, "tempdir", None)  # serve moves its temporary folder
    monkeypatch.setattr(supervisor, "run", partial(_start_all, names))
    monkeypatch.setattr(supervisor, "become", names.append)
    monkeypatch.setattr("policies.management.commands.serve.connection.close", lambda: None)
    return names


def _start_all(names: list[str], before: Callable[[], None]) -> None:
    before()
    names.append("all")


def serve(*words: str) -> str:
    said = StringIO()
    call_command("serve", *words, stderr=said, skip_checks=True)
    return said.getvalue()


@pytest.mark.parametrize("words", [(), *(("--only", n) for n in ("web", "beat", "freeze"))])
def test_missing_migrations_are_refused_by_the_whole_server_and_by_each_part(
    started: list[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(trouble, "unapplied_migrations", lambda _: ["policies.0009_new"])

    with pytest.raises(
        CommandError,
        match=r"is not migrated \(it lacks 1 migrations, first policies.0009_new\): run ",
    ):
        serve(*words)

    assert started == []


def test_the_broker_needs_no_database(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "unapplied_migrations", lambda _: pytest.fail("it was asked"))

    assert serve("--only", "valkey") == ""
    assert started == ["valkey"]


@pytest.mark.parametrize(("words", "name"), [((), "all"), (("--only", "freeze"), "freeze")])
def test_a_database_that_is_away_is_told_and_does_not_keep_the_server_from_thawing(
    started: list[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], name: str
) -> None:
    def away(_: object) -> list[str]:
        raise OperationalError("refused")

    monkeypatch.setattr(trouble, "unapplied_migrations", away)

    said = serve(*words)

    assert started == [name]
    assert "cannot be reached (refused): start it, or correct DATABASE_URL. Until then" in said
    assert said.endswith("but frozen applications are thawed.\n")


def test_what_is_frozen_is_thawed_although_a_system_check_fails(
    started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    thawed: list[str] = []
    monkeypatch.setattr(abandoned.Thawer, "turn", lambda _: thawed.append("once"))
    monkeypatch.setattr("pwd.getpwnam", _nobody)

    with override_settings(N2W_RUN_SCRIPTS_AS="cpmuser"), pytest.raises(SystemCheckError):
        call_command("serve", skip_checks=False, stderr=StringIO())

    assert (thawed, started) == (["once"], [])


def _nobody(name: str) -> None:
    raise KeyError(name)


def test_serve_says_its_address_its_home_and_how_to_stop_it(
    started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    serve()

    said = capsys.readouterr().out
    assert f"serves the home {settings.N2W_HOME}\n" in said
    assert f"pages    http://127.0.0.1:{settings.N2W_PORT}/\n" in said
    assert "stop it  with Ctrl-C here, or `manage.py drain`" in said


def test_one_program_of_the_server_announces_nothing(
    started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    serve("--only", "freeze")

    assert capsys.readouterr().out == ""
