"""In which order tests run: those that last begin first, the others by chance."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

SEEDS = 100_000


def any_seed() -> int:
    return random.SystemRandom().randrange(SEEDS)


def mix(items: list[pytest.Item], seed: int) -> None:
    """Mix the files and the tests within each; the same seed and the same files, the same order.

    The tests of a file of the whole system keep their order: most share a server, and a new one for each would cost
    ten seconds. What the mark `lasts` names comes first, the longest before the others. A file stays together:
    what its fixtures set up is set up once.
    """
    chance = random.Random(seed)
    files: defaultdict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[item.path].append(item)
    mixed = list(files.values())
    chance.shuffle(mixed)
    for own in mixed:
        if not _shares_a_server(own[0]):
            chance.shuffle(own)
        own.sort(key=_seconds, reverse=True)
    mixed.sort(key=lambda own: _seconds(own[0]), reverse=True)
    items[:] = [item for own in mixed for item in own]


def _shares_a_server(item: pytest.Item) -> bool:
    return "system" in item.path.parts


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("lasts")
    return float(mark.args[0]) if mark else 0
