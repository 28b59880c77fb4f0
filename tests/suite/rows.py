"""Which tests use the database: told by their marks and fixtures, wherever they stand."""

import pytest

MARKS = {"django_db"}
FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_setup", "live_server"}
# The mark for a test that reaches the database in a process of its own.
OWN = "rows"
# The mark for a long test of what pages say and whom they answer: their queries have tests of their own on each
# database.
ONCE = "one_database"


def uses_rows(item: pytest.Item) -> bool:
    asked = set(getattr(item, "fixturenames", ()))
    marks = {mark.name for mark in item.iter_markers()}
    return ONCE not in marks and (bool(asked & FIXTURES) or bool(marks & {*MARKS, OWN}))
