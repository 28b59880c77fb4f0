"""Many rows changed at once, each to values of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections, models, router

from n2wbackup.lib.compiled import column


def update_each(
    model: type[models.Model],
    names: Sequence[str],
    values: Mapping[Any, Sequence[Any]],
) -> None:
    """Write these columns of the rows with these keys: one statement, whose text is the same for every number of rows.

    Values are plain, no expressions: what the database works out itself is written with `update()`. A row that is
    gone is no error. The caller has locked the rows, or needs no comparison.
    """
    if not values:
        return
    connection = connections[router.db_for_write(model)]
    fields = [column(model, name) for name in names]
    quoted = connection.ops.quote_name
    key = column(model, "pk")
    assigned = ", ".join(f"{quoted(field.column)} = %s" for field in fields)
    table = quoted(model._meta.db_table)
    sql = f"UPDATE {table} SET {assigned} WHERE {quoted(key.column)} = %s"  # noqa: S608 - names of the models alone
    rows = [
        [
            field.get_db_prep_save(value, connection)
            for field, value in zip(fields, row, strict=True)
        ]
        + [key.get_db_prep_value(pk, connection)]
        for pk, row in values.items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, rows)


def values_of(row: models.Model, names: Sequence[str]) -> Sequence[Any]:
    """Return a row's values of these columns, as `update_each` takes them; makes no query."""
    return [getattr(row, column(type(row), name).attname) for name in names]
