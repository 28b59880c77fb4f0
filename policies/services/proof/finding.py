"""Finding the data folder of an application in an image, with as few reads as possible."""

import heapq

from policies.domain import proofs
from policies.domain.errors import NoSuchPathError
from policies.domain.proofs import Recipe
from policies.ports.images import Tree

MOST_FOLDERS = 120
DEEPEST = 7
_HINTS = frozenset(
    b"data db main database databases postgresql postgres pgsql pgdata mysql mariadb redis valkey lib var srv".split()
)
_NEVER = frozenset(b"proc sys dev run usr bin sbin boot lost+found snap tmp".split())


def data_folder(tree: Tree, recipe: str) -> bytes | None:
    """Return where the recipe's application has its data; None if that is nowhere.

    What is likely by its name is looked at first: each folder costs reads.
    """
    if recipe == Recipe.FILES:
        return b""
    waiting: list[tuple[int, int, bytes]] = [(0, 0, b"")]
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return None
        cost, depth, path = heapq.heappop(waiting)
        try:
            entries = tree.listed(path, most=2_000).entries
        except NoSuchPathError:
            continue
        if proofs.is_data(recipe, (entry.name.decode("utf-8", "replace") for entry in entries)):
            return path
        for entry in entries:
            if depth < DEEPEST and entry.kind == "folder" and entry.name not in _NEVER:
                step = 1 if entry.name.lower() in _HINTS or entry.name[:1].isdigit() else 4
                heapq.heappush(waiting, (cost + step, depth + 1, entry.path))
    return None
