"""Pages are as easy to read in an editor and in a diff as in a browser."""

import re
from collections.abc import Iterator

from tests.guards import tree

MAX_COLUMNS = 100
FENCED = re.compile(r"^( *)```\w*\n.*?^\1```$", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"\]\([^)]*\)")
# A row of a table, a heading or a picture cannot be wrapped.
ONE_LINE = ("|", "#", "![")


def _too_long(text: str) -> Iterator[str]:
    for line in FENCED.sub("", text).splitlines():
        if len(TARGET.sub("]", line)) > MAX_COLUMNS and not line.startswith(ONE_LINE):
            yield line


def test_prose_is_wrapped() -> None:
    assert [f"{name}: {line}" for name, text in tree.pages() for line in _too_long(text)] == []


def test_prose_that_is_not_wrapped_is_found() -> None:
    long = "word " * 21

    assert list(_too_long(f"short\n{long}\n| {long} |\n```text\n{long}\n```\n")) == [long]
