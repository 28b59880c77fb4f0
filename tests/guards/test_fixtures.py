"""The whole run sees the fixtures of plugins, so each name must have only one fixture."""

import re
from collections import Counter

from tests.guards import tree

_FIXTURE = re.compile(r"@pytest\.fixture[^\n]*\ndef (\w+)\(")


def test_no_two_plugins_of_the_ground_have_a_fixture_of_one_name() -> None:
    plugins = [text for name, text in tree.sources(".py") if name.startswith("tests/ground/")]

    names = Counter(name for text in plugins for name in _FIXTURE.findall(text))

    assert names
    assert [name for name, number in names.items() if number > 1] == []
