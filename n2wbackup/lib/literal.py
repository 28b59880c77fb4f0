"""Words of ours that a query states in its own text instead of handing them over beside it.

A database uses a partial index only if the query itself proves the index's condition. SQLite plans before it
knows the values that are handed over: `state = ?` proves nothing about `state = 'pending'`.
"""

import re
from typing import Any

from django.db import models

_WORD = re.compile(r"[a-z_]+")


class Literal(models.Expression):
    """A word of lower case letters, as `'word'` in the query."""

    def __init__(self, word: str) -> None:
        """ValueError unless it is such a word: what people enter is never part of a query's text."""
        if not _WORD.fullmatch(word):
            raise ValueError(f"{word!r} is no word that a query may state.")
        super().__init__(output_field=models.CharField())
        self._word = str(word)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[()]]:  # noqa: ANN401, ARG002 - Django's signature
        return f"'{self._word}'", ()
