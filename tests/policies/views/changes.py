"""What has been written to the database."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection

_READING = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def digest() -> str:
    """Return a digest of every row of every table but the sessions."""
    found = hashlib.sha256()
    for model in apps.get_models(include_auto_created=True):
        if model is not Session:
            rows = model._base_manager.order_by("pk").values_list()
            found.update(repr((model._meta.label, list(rows))).encode())
    return found.hexdigest()


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
