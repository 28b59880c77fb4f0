"""What the steps of the making share: the numbers of the first rows, and how rows are inserted."""

from dataclasses import dataclass, field
from typing import Any

from django.db import connection, models
from django.db.models import NOT_PROVIDED

from n2wbackup.lib import clock
from tests.bench.history import dialects
from tests.bench.history.dialects import Dialect
from tests.bench.history.sizes import Size


@dataclass(slots=True)
class World:
    """Owner k has the k-th user, account, folder and so on; policy k has owner k modulo the number of users."""

    size: Size
    user: int = 0
    account: int = 0
    folder: int = 0
    schedule: int = 0
    dialect: Dialect = field(default_factory=dialects.of_connection)
    now: int = field(default_factory=lambda: int(clock.now().timestamp()))

    @property
    def policy(self) -> int:
        return 1

    def insert(self, model: type[models.Model], source: str, **columns: str) -> None:
        """Insert a row for each row of the source; a column that is not named gets its default."""
        entered = [f for f in model._meta.concrete_fields if not f.generated]
        said = {str(f.column): columns.get(f.attname, "") for f in entered}
        unknown = set(columns) - {f.attname for f in entered}
        if unknown:
            raise ValueError(f"{model.__name__} has no {sorted(unknown)}")
        for one in entered:
            if not said[str(one.column)]:
                said[str(one.column)] = "" if _counts_itself(one) else self._default(one)
        named = {column: sql for column, sql in said.items() if sql}
        quoted = ", ".join(connection.ops.quote_name(column) for column in named)
        self.do(
            f"INSERT INTO {model._meta.db_table} ({quoted}) SELECT {', '.join(named.values())} FROM {source}"  # noqa: S608 - numbers and names of ours
        )
        self._count_on(model)

    def _default(self, one: "models.Field[Any, Any]") -> str:
        if one.default is not NOT_PROVIDED:
            return self.dialect.constant(one.get_default())
        return "NULL" if one.null else "''"

    def _count_on(self, model: type[models.Model]) -> None:
        from django.core.management.color import no_style  # noqa: PLC0415

        for sql in connection.ops.sequence_reset_sql(no_style(), [model]):
            self.do(sql)

    def do(self, sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    def numbers(self, count: int) -> str:
        return self.dialect.numbers(count)

    def ago(self, seconds: str) -> str:
        return self.dialect.at(f"({self.now} - ({seconds}))")


def _counts_itself(one: "models.Field[Any, Any]") -> bool:
    return isinstance(one, models.AutoField)
