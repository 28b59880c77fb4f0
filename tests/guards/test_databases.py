"""Tests that use the database run on each supported database."""

import ast
import re

from tests.guards import tree

MAKEFILE = (tree.ROOT / "Makefile").read_text()
FOLDERS = re.search(r"^TESTS_OF_PARTS := (.+)$", MAKEFILE, re.MULTILINE)
# Of the browser, of AWS, and of servers that have databases of their own.
ONCE = ("tests/browser", "tests/contract", "tests/system", "tests/last")


def _asks_for_rows(text: str) -> bool:
    """Tell whether a test or fixture takes pytest-django's database, by name or by mark."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and any(a.arg == "db" for a in node.args.args):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "django_db":
            return True
    return False


def test_a_test_of_rows_is_where_make_test_runs_it_on_each_database() -> None:
    assert FOLDERS
    known = (*FOLDERS[1].split(), *ONCE)
    found = [path.relative_to(tree.ROOT) for path in (tree.ROOT / "tests").rglob("test_*.py")]

    wrong = [
        path.as_posix()
        for path in found
        if not path.as_posix().startswith(known)
        if _asks_for_rows((tree.ROOT / path).read_text())
    ]

    assert wrong == []


def test_a_migration_reads_and_writes_the_database_that_it_migrates() -> None:
    """`move_database` migrates another one than the default; rows of the default must not be touched then."""
    found = [
        path.relative_to(tree.ROOT).as_posix()
        for path in tree.ROOT.glob("*/migrations/0*.py")
        if re.search(r"\.objects\.(?!using\()", path.read_text())
    ]

    assert found == []
