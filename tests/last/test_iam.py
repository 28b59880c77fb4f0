"""After all other tests: what the IAM documents allow is what was asked for, no more and no less.

`make test` has every simulated AWS of the suite write down who asked for which IAM action.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from n2wbackup.demo.aws.permissions import INSTANCE, PRODUCT, VARIABLE
from tests.guards import tree

DOCUMENTS = tree.ROOT / "deploy" / "iam"
OF = {
    PRODUCT: [
        "server.json",
        "server-assume-role.json",
        "instance-connect.json",
        "server-adopt.json",
        "server-copies.json",
        "server-ssm.json",
        "server-restore.json",
        "server-read-snapshots.json",
    ],
    INSTANCE: ["instance.json"],
}


def actions(name: str) -> Iterator[str]:
    """Every action that a document allows."""
    for statement in json.loads((DOCUMENTS / name).read_text())["Statement"]:
        assert statement["Effect"] == "Allow"
        found = statement["Action"]
        yield from [found] if isinstance(found, str) else found


@pytest.fixture(scope="module")
def record() -> dict[str, set[str]]:
    """Who asked for what, while the suite ran."""
    path = os.environ.get(VARIABLE)
    assert path, f"{VARIABLE} names no file: run make test, which compares at its end"
    lines = [line.split() for line in Path(path).read_text().splitlines()]
    assert lines, f"nothing was written to {path}"
    return {who: {action for name, action in lines if name == who} for who in OF}


@pytest.mark.parametrize("who", OF)
def test_everything_that_was_asked_for_is_allowed(who: str, record: dict[str, set[str]]) -> None:
    allowed = {action for name in OF[who] for action in actions(name)}

    assert sorted(record[who] - allowed) == []


@pytest.mark.parametrize("who", OF)
def test_everything_that_is_allowed_was_asked_for(who: str, record: dict[str, set[str]]) -> None:
    allowed = {action for name in OF[who] for action in actions(name)}

    assert allowed
    assert sorted(allowed - record[who]) == []


def test_nobody_else_is_on_the_record(record: dict[str, set[str]]) -> None:
    lines = Path(os.environ[VARIABLE]).read_text().split()

    assert set(lines[::2]) == set(OF)
