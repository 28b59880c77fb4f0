"""The database of one test process: a copy of an empty one, as migrating takes ten seconds of the processor."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The name of a database to copy, in a cluster that lasts no longer than the run: tools/with-postgresql.sh.
TEMPLATE = "N2W_TEST_TEMPLATE"


@contextlib.contextmanager
def empty(folder: Path) -> Iterator[None]:
    """Let the connection lead to an empty database of its own; `folder`: one for all processes of this run."""
    from django.db import connection  # noqa: PLC0415 - only where Django is set up

    before = connection.settings_dict["NAME"]
    creation: Any = connection.creation
    name = str(creation._get_test_db_name())
    make = _sqlite if connection.vendor == "sqlite" else _postgresql
    with make(connection, name, folder):
        _lead_to(connection, name)
        try:
            yield
        finally:
            _lead_to(connection, before)


def _lead_to(connection: Any, name: object) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


@contextlib.contextmanager
def _sqlite(_: Any, name: str, __: Path) -> Iterator[None]:
    from tests.ground import empty as ground  # noqa: PLC0415 - as above

    ground.put(Path(name))
    yield
    for end in ("", "-wal", "-shm"):
        Path(f"{name}{end}").unlink(missing_ok=True)


@contextlib.contextmanager
def _postgresql(connection: Any, name: str, folder: Path) -> Iterator[None]:
    template = os.environ.get(TEMPLATE)
    if template:
        with (folder / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_there(connection, template):
                _make(connection, template)
        _run(connection, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    else:
        _run(connection, f'DROP DATABASE IF EXISTS "{name}"')
        _make(connection, name)
    yield
    _run(connection, f'DROP DATABASE "{name}" WITH (FORCE)')


def _make(connection: Any, name: str) -> None:
    from django.core.management import call_command  # noqa: PLC0415 - as above

    _run(connection, f'CREATE DATABASE "{name}"')
    before = connection.settings_dict["NAME"]
    _lead_to(connection, name)
    try:
        call_command("migrate", verbosity=0)
    except BaseException:
        _lead_to(connection, before)
        _run(connection, f'DROP DATABASE "{name}" WITH (FORCE)')
        raise
    _lead_to(connection, before)


def _is_there(connection: Any, name: str) -> bool:
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        return cursor.fetchone() is not None


def _run(connection: Any, sql: str) -> None:
    with connection._nodb_cursor() as cursor:
        cursor.execute(sql)
