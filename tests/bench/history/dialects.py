"""What the two databases say differently when rows are made of numbers."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from django.db import connection


class Dialect(Protocol):
    """Expressions of SQL; `at` takes UNIX seconds, `run` the number of a run."""

    def numbers(self, count: int) -> str: ...
    def run(self, number: str) -> str: ...
    def at(self, seconds: str) -> str: ...
    def day(self, moment: str) -> str: ...
    def padded(self, number: str) -> str: ...
    def octets(self, text: str) -> str: ...
    def constant(self, value: object) -> str: ...
    def filling(self) -> AbstractContextManager[None]: ...


class Sqlite:
    def numbers(self, count: int) -> str:
        further = f"SELECT i + 1 FROM s WHERE i + 1 < {count}"  # noqa: S608 - a number of ours
        return f"(WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL {further}) SELECT i FROM s) AS s"  # noqa: S608 - as above

    def run(self, number: str) -> str:
        return f"md5('run ' || {number})"

    def at(self, seconds: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%S', CAST({seconds} AS INTEGER), 'unixepoch')"

    def day(self, moment: str) -> str:
        return f"date({moment})"

    def padded(self, number: str) -> str:
        return f"printf('%017d', {number})"

    def octets(self, text: str) -> str:
        return f"CAST('{text}' AS BLOB)"

    def constant(self, value: object) -> str:
        if isinstance(value, bool):
            return str(int(value))
        return _constant(value)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Check no reference row by row, and keep the file in memory: nothing here has to survive a crash."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size = -400000")
            if not connection.in_atomic_block:
                cursor.execute("PRAGMA synchronous = OFF")
        with connection.constraint_checks_disabled():
            yield


class Postgresql:
    def numbers(self, count: int) -> str:
        return f"generate_series(0::bigint, {count} - 1) AS s(i)"

    def run(self, number: str) -> str:
        return f"md5('run ' || {number})::uuid"

    def at(self, seconds: str) -> str:
        return f"to_timestamp({seconds})"

    def day(self, moment: str) -> str:
        return f"({moment} AT TIME ZONE 'UTC')::date"

    def padded(self, number: str) -> str:
        return f"lpad(({number})::text, 17, '0')"

    def octets(self, text: str) -> str:
        return f"'{text}'::bytea"

    def constant(self, value: object) -> str:
        if isinstance(value, dict | list):
            return f"{_constant(value)}::jsonb"
        return _constant(value)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Check no reference row by row, where the account may say so."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            may = bool(cursor.fetchone()[0])
            if may:
                cursor.execute("SET session_replication_role = replica")
            yield
            if may:
                cursor.execute("SET session_replication_role = DEFAULT")


def _constant(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return str(value)
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return "'" + text.replace("'", "''") + "'"


def of_connection() -> Dialect:
    return Postgresql() if connection.vendor == "postgresql" else Sqlite()
