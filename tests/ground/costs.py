"""What a block costs its database: the statements by the place that asked for them, and the commits with a change."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

_PROJECT = Path(__file__).resolve().parents[2]
_OURS = ("policies", "scripts_admin", "n2wbackup")
# These pass on what others ask for.
_PASSED_ON = ("n2wbackup/lib/cas.py", "n2wbackup/lib/each.py", "policies/models/querysets.py")
_CHANGING = ("INSERT", "UPDATE", "DELETE")
_LOCKING = " FOR UPDATE"  # its row locks are entered into the log, too
_OPENING = ("BEGIN", "COMMIT", "ROLLBACK")  # counted as commits, where there is something to commit
_NESTING = ("SAVEPOINT", "RELEASE", "ROLLBACK TO")
_DEEPEST = 60


@dataclass(slots=True)
class Costs:
    """Statements by place, savepoints among them, and commits. A statement without a transaction is its own commit."""

    places: Counter[str] = field(default_factory=Counter)
    texts: list[tuple[str, str]] = field(default_factory=list)
    commits: int = 0
    savepoints: int = 0
    _changed: bool = False

    @property
    def statements(self) -> int:
        return sum(self.places.values())


@contextmanager
def counted() -> Iterator[Costs]:
    """Give the costs of the block, as far as it uses this thread's connection."""
    costs = Costs()
    commit = connection.commit

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        _note(costs, sql.lstrip("( "))
        return execute(sql, params, many, context)

    def committed() -> None:
        costs.commits += costs._changed
        costs._changed = False
        commit()

    connection.commit = committed  # type: ignore[method-assign]
    try:
        with connection.execute_wrapper(note):
            yield costs
    finally:
        del connection.commit


def _note(costs: Costs, sql: str) -> None:
    words = sql[:20].upper()
    if words.startswith(_NESTING):
        costs.savepoints += 1
    elif words.startswith(_OPENING):
        return
    place = _place()
    costs.places[place] += 1
    costs.texts.append((place, sql))
    if words.startswith(_CHANGING) or _LOCKING in sql:
        if connection.in_atomic_block:
            costs._changed = True
        else:
            costs.commits += 1


def _place() -> str:
    """Return the innermost function of the product that asked for this."""
    frame = sys._getframe(2)
    for _ in range(_DEEPEST):
        name = frame.f_code.co_filename.removeprefix(f"{_PROJECT}/")
        if name.startswith(_OURS) and name not in _PASSED_ON:
            return f"{name.removesuffix('.py')} {frame.f_code.co_name}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "elsewhere"
