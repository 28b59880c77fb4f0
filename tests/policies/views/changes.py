"""What has been written to the database."""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection

_TABLES = re.compile(r'"(\w+)"')  # the names of columns, too
_READING = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def digests(tables: Iterable[str] | None = None) -> dict[str, str]:
    """Return a digest of the rows of each table but the sessions', or of these tables alone."""
    models = apps.get_models(include_auto_created=True)
    keys = {m._meta.db_table: str(m._meta.pk.column) for m in models if m is not Session}
    with connection.cursor() as cursor:
        return {
            table: _digest(cursor, table, key)
            for table, key in keys.items()
            if tables is None or table in tables
        }


def _digest(cursor: Any, table: str, key: str) -> str:
    cursor.execute(f'SELECT * FROM "{table}" ORDER BY "{key}"')  # noqa: S608 - names of our own
    return hashlib.sha256(repr(cursor.fetchall()).encode()).hexdigest()


def changed(before: Mapping[str, str], written: Iterable[str]) -> bool:
    """Tell whether a statement has changed a row; what no statement has named is not looked at."""
    tables = {table for sql in written for table in _TABLES.findall(sql)}
    return any(before[table] != found for table, found in digests(tables).items())


@contextlib.contextmanager
def writes() -> Iterator[list[str]]:
    """Collect the statements that are executed and do more than read."""
    written: list[str] = []

    def look(execute: Any, sql: str, *rest: Any) -> Any:
        if not sql.lstrip().upper().startswith(_READING):
            written.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(look):
        yield written
