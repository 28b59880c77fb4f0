"""Statements of Django's ORM that are built once and executed with other values each time.

Building a statement costs the ORM several times as much as the database needs to answer it. Here the ORM
builds it as ever, with marks in place of the values, and its text is kept for each kind of database. Values
are parameters always, and are converted by their fields as the ORM does it.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain, count
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

from django.core.exceptions import EmptyResultSet, FieldDoesNotExist
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.models import sql
from django.db.models.constants import OnConflict

from n2wbackup.lib.encrypted import EncryptedTextField

Given = ParamSpec("Given")
Row = TypeVar("Row")

_MANY = 64  # rows of one statement: each number of rows has its own
_BY_TYPE: Mapping[type, Any] = {
    UUID: models.UUIDField(),
    datetime: models.DateTimeField(),
}


class Mark(models.Expression):
    """The place of a value in a statement."""

    def __init__(self, number: int) -> None:
        """Stand for the value with this number."""
        super().__init__(output_field=models.Field())
        self.number = number

    def as_sql(self, compiler: Any, connection: Any) -> Any:  # noqa: ANN401, ARG002 - Django's signature
        return "%s", [self]


class Reading(Generic[Given, Row]):
    """A query whose values are the arguments of a function; a decorator of it.

    The function returns a queryset, and does nothing with its arguments but to compare columns with them, by `=`,
    `<`, `>` and `IN`: it is called once for each kind of arguments, with marks in their places. An argument is a
    text, a number, a UUID, a time, or a list of these; True, False and None are part of the statement. The rows are
    those that the queryset has (`plain`), as a list.
    """

    def __init__(self, plain: "Callable[Given, models.QuerySet[Any, Row]]") -> None:
        """Keep the function; nothing is built before the first call."""
        self.plain = plain
        self._built: dict[object, _Built | None] = {}

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> list[Row]:
        """Return the rows."""
        if kwargs:
            raise TypeError("A kept query takes its values by position.")
        connection = connections[DEFAULT_DB_ALIAS]
        shape = (connection.vendor, *map(_shape, args))
        if shape not in self._built:
            self._built[shape] = _build(self.plain, args, connection)
        built = self._built[shape]
        if built is None:
            return []
        values = list(_flat(args))
        return built.rows(connection, [_adapted(value, connection) for value in values])

    def first(self, *args: Given.args, **kwargs: Given.kwargs) -> Row | None:
        """Return the first of the rows; None if there is none."""
        return next(iter(self(*args, **kwargs)), None)


def keep(row: models.Model, name: str, rows: Sequence[models.Model]) -> None:
    """Let `row.name.all()` be these rows, as if they had been prefetched. They refer to `row` by a foreign key."""
    manager: Any = getattr(row, name)
    for each in rows:
        setattr(each, manager.field.name, row)
    prefetched: Any = manager.all()
    prefetched._result_cache = list(rows)  # noqa: SLF001 - no public name
    prefetched._prefetch_done = True  # noqa: SLF001
    kept: dict[str, Any] = row.__dict__.setdefault("_prefetched_objects_cache", {})
    kept[name] = prefetched


class _Built:
    """A query as its compiler left it, which is read and never changed."""

    def __init__(self, queryset: models.QuerySet[Any, Any], compiler: Any, connection: Any) -> None:  # noqa: ANN401
        self._queryset = queryset
        self._text, given = compiler.as_sql()
        self._given = [one.number if isinstance(one, Mark) else _Fixed(one) for one in given]
        # A connection belongs to a thread, and this to all of them.
        compiler.connection = _unopened(connection.alias, connection.vendor)
        selected = [each[0] for each in compiler.select[: compiler.col_count]]
        converters = compiler.get_converters(selected)
        compiler.get_converters = lambda _: converters
        self._compiler = compiler

    def rows(self, connection: Any, values: Sequence[Any]) -> list[Any]:  # noqa: ANN401
        given = tuple(one.value if isinstance(one, _Fixed) else values[one] for one in self._given)
        compiler = copy.copy(self._compiler)
        compiler.connection = connection
        compiler.as_sql = lambda: (self._text, given)
        found: Any = self._queryset
        return list(found._iterable_class(_Asked(found, compiler)))  # noqa: SLF001 - no public name


class _Fixed(NamedTuple):
    """A value that the function itself compares with."""

    value: Any


class _Asked:
    """What reads rows asks its queryset for."""

    def __init__(self, queryset: Any, compiler: Any) -> None:  # noqa: ANN401
        self.db, self.model, self.query = DEFAULT_DB_ALIAS, queryset.model, self
        self._fields = queryset._fields
        self._known_related_objects: dict[Any, Any] = {}
        self._compiler = compiler

    def get_compiler(self, using: str = "") -> Any:  # noqa: ANN401, ARG002 - Django's signature
        return self._compiler


def _build(
    plain: Callable[..., models.QuerySet[Any, Any]],
    args: Sequence[Any],
    connection: Any,  # noqa: ANN401
) -> _Built | None:
    """Return the query; None if it can have no rows, whatever its values are."""
    numbers = iter(range(sum(1 for _ in _flat(args))))
    queryset: Any = plain(*[_marked(each, numbers) for each in args])
    if queryset._prefetch_related_lookups:  # noqa: SLF001 - no public name
        raise TypeError("A kept query is one statement: it prefetches nothing.")
    try:
        return _Built(queryset, queryset.query.get_compiler(connection=connection), connection)
    except EmptyResultSet:
        return None


def _marked(value: Any, numbers: Iterator[int]) -> Any:  # noqa: ANN401
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, list):
        return [Mark(next(numbers)) for _ in value]
    return Mark(next(numbers))


def _shape(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    return len(value) if isinstance(value, list) else "one"


def _flat(args: Sequence[Any]) -> Iterator[Any]:
    for value in args:
        if isinstance(value, list):
            yield from value
        elif not (value is None or isinstance(value, bool)):
            yield value


def _adapted(value: Any, connection: Any) -> Any:  # noqa: ANN401
    field = _BY_TYPE.get(type(value))
    return value if field is None else field.get_db_prep_value(value, connection)


@cache
def _unopened(alias: str, vendor: str) -> Any:  # noqa: ANN401, ARG001 - the vendor is part of the key
    """Return a connection that is never opened: it only knows how its database writes values."""
    return connections.create_connection(alias)


def change(
    model: type[models.Model], expected: Mapping[str, Any], changes: Mapping[str, Any]
) -> int:
    """Change the rows whose columns have these values, and return how many; None means NULL.

    One `UPDATE`, as `filter(**expected).update(**changes)` makes it. Expressions, lookups, and columns that compare
    by more than their value are left to the ORM.
    """
    is_plain = all(
        _compares(model, name) and not hasattr(value, "as_sql") for name, value in expected.items()
    )
    if not is_plain or any(hasattr(value, "as_sql") for value in changes.values()):
        return models.QuerySet[Any](model).filter(**expected).update(**changes)
    connection = connections[DEFAULT_DB_ALIAS]
    where = tuple((name, _constant(value)) for name, value in expected.items())
    text, order = _update(model, connection.vendor, where, tuple(changes))
    values = [
        column(model, name).get_db_prep_save(_plain(value), connection)
        for name, value in changes.items()
    ] + [
        column(model, name).get_db_prep_value(_plain(value), connection)
        for name, value in expected.items()
        if _constant(value) is _VARIES
    ]
    given = [values[number] for number in order]
    with transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS), connection.cursor() as cursor:
        cursor.execute(text, given)
        return int(cursor.rowcount)


_VARIES = "varies"


def _constant(value: object) -> object:
    """Return a value that is part of a statement: what compares with NULL, True or False is another one."""
    return value if value is None or isinstance(value, bool) else _VARIES


def _plain(value: Any) -> Any:  # noqa: ANN401 - a column's value
    return value.pk if isinstance(value, models.Model) else value


def column(model: type[models.Model], name: str) -> Any:  # noqa: ANN401 - of any type of value
    """Return the field with this name, or the key's for `pk`."""
    return model._meta.pk if name == "pk" else model._meta.get_field(name)


@lru_cache(maxsize=512)
def _compares(model: type[models.Model], name: str) -> bool:
    """Tell whether this is a column that the ORM compares by its value alone."""
    try:
        field = column(model, name)
    except FieldDoesNotExist:
        return False  # it has a lookup
    return field.concrete and not isinstance(field, (models.JSONField, EncryptedTextField))


@lru_cache(maxsize=512)
def _update(
    model: type[models.Model],
    vendor: str,  # noqa: ARG001 - each kind of database has its own text
    where: tuple[tuple[str, object], ...],
    names: tuple[str, ...],
) -> tuple[str, Sequence[int]]:
    """Return the statement, and the numbers of its values in the order of their places."""
    numbers = count()
    changes = {name: Mark(next(numbers)) for name in names}
    wheres = {name: Mark(next(numbers)) if fixed is _VARIES else fixed for name, fixed in where}
    rows = models.QuerySet[Any](model).filter(**wheres)
    query: Any = rows.query.chain(klass=sql.UpdateQuery)
    query.add_update_values(changes)
    text, given = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
    return str(text), [one.number for one in given]


def enter(
    rows: Sequence[models.Model], *, ignore_conflicts: bool = False, replaces: bool = False
) -> int:
    """Insert rows of one model, as `bulk_create` does: one `INSERT`; the keys that the database gives are set.

    Return how many there are now that were not there before; with `replaces`, rows with these keys give way to them.
    What they refer to stands in the database, and their values are plain ones.
    """
    conflict = OnConflict.IGNORE if ignore_conflicts else OnConflict.UPDATE if replaces else None
    if len(rows) > _MANY:
        parts = [rows[start : start + _MANY] for start in range(0, len(rows), _MANY)]
        with transaction.atomic(savepoint=False):
            return sum(
                enter(part, ignore_conflicts=ignore_conflicts, replaces=replaces) for part in parts
            )
    if not rows:
        return 0
    model, is_new = type(rows[0]), rows[0].pk is None
    connection = connections[DEFAULT_DB_ALIAS]
    kept = _insert(model, connection.vendor, len(rows), is_new, conflict)
    fields = _entered(model, is_new)
    saved = [
        [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
        for row in rows
    ]
    given = list(map(list, zip(*saved, strict=True))) if kept.by_column else list(chain(*saved))
    with transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS), connection.cursor() as cursor:
        cursor.execute(kept.text, given)
        keys = cursor.fetchall() if kept.gives_keys else []
        made = cursor.rowcount if ignore_conflicts else len(rows)
    for row, found in zip(rows, keys, strict=False):
        row.pk = found[0]
    for row in rows:
        state = row._state  # noqa: SLF001 - Django documents it
        state.adding, state.db = False, DEFAULT_DB_ALIAS
    return made


class _Insert(NamedTuple):
    text: str
    by_column: bool  # PostgreSQL takes several rows as one list for each column
    gives_keys: bool


@lru_cache(maxsize=256)
def _entered(model: type[models.Model], is_new: bool) -> list[Any]:  # noqa: FBT001 - a cache takes no names
    """Return the fields of an `INSERT`, without a key that the database gives."""
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    return [each for each in fields if not (is_new and isinstance(each, models.AutoField))]


@lru_cache(maxsize=256)
def _insert(
    model: type[models.Model],
    vendor: str,  # noqa: ARG001 - each kind of database has its own text
    number: int,
    is_new: bool,  # noqa: FBT001 - a cache takes no names
    conflict: OnConflict | None,
) -> _Insert:
    """Return the statement for so many rows."""
    connection = connections[DEFAULT_DB_ALIAS]
    fields = _entered(model, is_new)
    others = [field for field in fields if not field.primary_key]
    replaced = {"update_fields": others, "unique_fields": [model._meta.pk]}
    is_replaced = conflict == OnConflict.UPDATE
    query = sql.InsertQuery(model, on_conflict=conflict, **(replaced if is_replaced else {}))
    query.insert_values(fields, [model() for _ in range(number)])
    compiler = query.get_compiler(connection=connection)
    gives_keys = is_new and conflict is None
    compiler.returning_fields = [model._meta.pk] if gives_keys else None
    [(text, given)] = compiler.as_sql()
    counts = {number * len(fields): False, len(fields): True}
    if len(given) not in counts or text.count("%s") != len(given):
        raise TypeError(f"Rows of {model._meta.label} have no statement that fits all values.")
    return _Insert(text, number > 1 and counts[len(given)], gives_keys)
