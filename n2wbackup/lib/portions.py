"""Many items, a few at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def portions(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in their order, in lists of at most `size`; none is empty."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
