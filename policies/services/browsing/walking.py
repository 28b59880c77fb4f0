"""Going through a tree, folder by folder: every file and folder once, and nothing through a link."""

from collections.abc import Iterator

from policies.domain.browsing import paths
from policies.domain.browsing.paths import NotAPathError
from policies.ports.images import Entry, Tree

_ON_A_PAGE = 1_000


def below(tree: Tree, path: bytes) -> Iterator[Entry]:
    """Yield what is at the path and, if it is a folder, all that is below, each folder before what it holds."""
    first = tree.stat(path)
    yield first
    waiting = [path] if first.kind == "folder" else []
    while waiting:
        for entry in _in_folder(tree, waiting.pop()):
            yield entry
            if entry.kind == "folder":
                waiting.append(entry.path)


def _in_folder(tree: Tree, folder: bytes) -> Iterator[Entry]:
    after, more = b"", True
    while more:
        page = tree.listed(folder, after, _ON_A_PAGE)
        more = page.more and bool(page.entries)
        for entry in page.entries:
            after = entry.name
            if _is_in(folder, entry):
                yield entry


def _is_in(folder: bytes, entry: Entry) -> bool:
    """Tell whether it is where it says: a file system that lies must not lead anywhere else."""
    try:
        return paths.below(folder, entry.name) == entry.path
    except NotAPathError:
        return False
