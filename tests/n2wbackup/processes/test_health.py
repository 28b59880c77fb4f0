import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries, Settings

from n2wbackup import health
from n2wbackup.settings.database import sqlite
from tests.ground import processes, valkey


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    health._require_migrations.cache_clear()
    yield
    health._require_migrations.cache_clear()


@pytest.fixture
def broker(settings: Settings) -> Iterator[None]:
    with processes.folder() as folder, valkey.running(folder) as server:
        settings.N2W_REDIS_URL = ""
        settings.N2W_BROKER_SOCKET = server.socket
        yield


@pytest.fixture
def no_broker(settings: Settings, tmp_path: Path) -> None:
    settings.N2W_REDIS_URL = ""
    settings.N2W_BROKER_SOCKET = tmp_path / "none.sock"


def _ready() -> tuple[int, dict[str, str]]:
    answer = health.ready(RequestFactory().get("/health/ready"))
    return answer.status_code, json.loads(answer.content)


def _use(monkeypatch: pytest.MonkeyPatch, database: dict[str, Any]) -> BaseDatabaseWrapper:
    other: BaseDatabaseWrapper = ConnectionHandler({"default": database})["default"]
    monkeypatch.setattr(health, "connection", other)
    return other


def test_a_live_process_answers_without_asking_anybody(
    django_assert_num_queries: DjangoAssertNumQueries, db: None
) -> None:
    with django_assert_num_queries(0):
        answer = Client().get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-cache" in answer["Cache-Control"]


def test_a_server_that_has_all_it_needs_is_ready(db: None, broker: None) -> None:
    assert _ready() == (200, {"status": "ok", "database": "ok", "broker": "ok"})


def test_without_its_broker_it_is_degraded_and_still_ready(db: None, no_broker: None) -> None:
    assert _ready() == (200, {"status": "degraded", "database": "ok", "broker": "away"})


def test_a_broker_that_never_answers_does_not_hold_the_page_up(
    db: None, settings: Settings
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings.N2W_REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"

        began = time.monotonic()
        found = _ready()
        seconds = time.monotonic() - began

    assert found == (200, {"status": "degraded", "database": "ok", "broker": "away"})
    assert seconds < 20


def test_without_its_database_it_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, db: None, no_broker: None
) -> None:
    _use(
        monkeypatch,
        {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "gone",
            "HOST": "127.0.0.1",
            "PORT": processes.free_port(),
        },
    )

    assert _ready() == (503, {"status": "unavailable", "database": "away", "broker": "away"})


def test_a_database_without_its_tables_is_not_ready_until_it_has_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, db: None, no_broker: None
) -> None:
    empty = _use(monkeypatch, sqlite(tmp_path / "empty.sqlite3"))
    assert _ready()[1]["database"] == "not migrated"
    assert _ready()[0] == 503
    assert "contenttypes.0001_initial" in health.unapplied_migrations()
    empty.close()

    monkeypatch.setattr(health, "connection", connection)
    assert _ready()[0] == 200


def test_the_login_page_can_be_seen_by_strangers(db: None) -> None:
    page = Client().get("/login/", {"next": "/runs/"})

    assert page.status_code == 200
    text = page.content.decode()
    assert 'for="id_username">User name</label>' in text
    assert 'for="id_password">Password</label>' in text
    assert 'name="next" value="/runs/"' in text
