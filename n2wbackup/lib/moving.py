"""All rows of one database in another one: all or nothing, and the first one stays as it is.

Encrypted columns are copied as they are stored, so a value whose key is lost moves, too.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, Error, connections, models, transaction
from django.db.models.functions import Cast

from n2wbackup.lib.encrypted import EncryptedTextField

if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
else:
    _Field = models.Field  # it is not generic at run time

TARGET = "target"
_ROWS_AT_ONCE = 1000


class MovingError(Exception):
    """The rows could not be moved; neither database was changed. The text holds no password."""


@contextmanager
def other(database: dict[str, Any]) -> Iterator[None]:
    """Have another database within the block, under the alias TARGET; `database` is as in DATABASES."""
    whole = connections.configure_settings({DEFAULT_DB_ALIAS: database})
    connections.databases[TARGET] = whole[DEFAULT_DB_ALIAS]
    try:
        yield
    finally:
        connections[TARGET].close()
        del connections[TARGET], connections.databases[TARGET]


def move(
    database: dict[str, Any], finish: Callable[[str], None] = lambda _: None
) -> dict[str, int]:
    """Create the tables in an empty database and copy every row; return the number of rows by table.

    `finish` gets the alias of the other database in the same transaction, when all rows are there.
    MovingError: the other database is away, not empty, or does not take a row.
    """
    if not _is_sqlite(database):
        with other(database), _told():
            return _fill(_create_tables, finish)
    with _new_file(Path(database["NAME"])) as part, other({**database, "NAME": part}), _told():
        _create_tables()  # SQLite does not create them in the transaction of the rows
        return _fill(lambda: None, finish)


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Give a part file that only we can read; it takes its name at the end, or is removed."""
    if path.exists() and path.stat().st_size:
        raise MovingError(f"{path} exists already: name a file that does not exist.")
    part = path.with_name(f"{path.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        yield part
        part.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)  # it is empty: whoever read the URL has created it
        raise
    finally:
        for end in ("", "-wal", "-shm"):
            part.with_name(part.name + end).unlink(missing_ok=True)


def _is_sqlite(database: dict[str, Any]) -> bool:
    return str(database["ENGINE"]).endswith("sqlite3")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Error as error:
        reason = next(iter(str(error).split("\n")), "") or type(error).__name__
        raise MovingError(f"The other database refused ({reason}).") from error


def _fill(create_tables: Callable[[], None], finish: Callable[[str], None]) -> dict[str, int]:
    """Create the tables and copy the rows, in one transaction."""
    connection = connections[TARGET]
    with transaction.atomic(using=TARGET):
        create_tables()
        if connection.vendor == "postgresql":
            # Migrations leave them immediate, and a row may point to one that is copied later.
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        counts = _copy_all()
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), _models()):
                cursor.execute(statement)
        finish(TARGET)
        connection.check_constraints()
    return counts


def _create_tables() -> None:
    if connections[TARGET].introspection.table_names():
        raise MovingError("The other database is not empty: name one without tables.")
    call_command("migrate", database=TARGET, verbosity=0, interactive=False, skip_checks=True)
    for model in _models():  # what migrations enter: permissions, content types
        models.QuerySet(model, using=TARGET).delete()


def _copy_all() -> dict[str, int]:
    with transaction.atomic():
        _read_one_state()
        return {model._meta.db_table: _copy(model) for model in _models()}


def _read_one_state() -> None:
    """Have all questions of this transaction answered from the same state of the source."""
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _models() -> list[type[models.Model]]:
    every = apps.get_models(include_auto_created=True)
    return [model for model in every if model._meta.managed and not model._meta.proxy]


def _copy(model: type[models.Model]) -> int:
    """Copy the rows in the order of their keys; return their number."""
    count, last = 0, None
    rows: models.QuerySet[Any] = models.QuerySet(model).order_by("pk")
    there: models.QuerySet[Any] = models.QuerySet(model, using=TARGET)
    fields = [f for f in model._meta.local_concrete_fields if not f.generated]
    columns = [
        Cast(f.attname, models.TextField())
        if isinstance(f, EncryptedTextField)
        else models.F(f.attname)
        for f in fields
    ]
    while True:
        page = rows if last is None else rows.filter(pk__gt=last)
        found = list(page.values_list("pk", *columns)[:_ROWS_AT_ONCE])
        copies = [_row(model, fields, values) for _, *values in found]
        there.bulk_create(copies)
        count += len(found)
        if len(found) < _ROWS_AT_ONCE:
            break
        last = found[-1][0]
    if there.all().count() != count:
        raise MovingError(f"The table {model._meta.db_table} has not all of its rows there.")
    return count


def _row(
    model: type[models.Model], fields: Sequence[_Field], values: Sequence[Any]
) -> models.Model:
    return model(**{f.attname: _value(f, value) for f, value in zip(fields, values, strict=True)})


def _value(field: _Field, value: Any) -> Any:  # noqa: ANN401 - of any column
    if isinstance(field, EncryptedTextField) and value is not None:
        return models.Value(
            value, output_field=models.TextField()
        )  # a token: do not encrypt it again
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL has no NUL in a text
    return value
