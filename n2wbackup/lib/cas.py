"""Compare-and-set: the only way in which two processes decide who won a row."""

from collections.abc import Mapping
from typing import Any

from django.db import models, transaction


def compare_and_set(
    queryset: models.QuerySet[Any],
    expected: Mapping[str, Any],
    **changes: Any,  # noqa: ANN401 - values of columns, as update() takes them
) -> bool:
    """Change the row of `queryset` if it still is as `expected`; True for exactly one winner.

    One `UPDATE ... WHERE`; `expected` takes the lookups of `filter()`, None means NULL. On False,
    nothing was changed. A queryset that matches several rows is a bug of the caller: ValueError, and
    nothing is changed, neither here nor by the transaction that this is a part of.
    """
    with transaction.atomic(using=queryset.db, savepoint=False):
        changed = queryset.filter(**expected).update(**changes)
        if changed > 1:
            raise ValueError(
                f"compare_and_set changes one row, but {changed} rows of"
                f" {queryset.model._meta.label} matched."
            )
    return changed == 1
