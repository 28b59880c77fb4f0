"""The name that somebody probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.6


def hint(given: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" with the most similar of the names, or "" if none is similar.

    Upper and lower case are the same. The names must be ones that the reader may see.
    """
    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(given.casefold(), by_folded, n=1, cutoff=_ALIKE)
    return f" Did you mean {by_folded[near[0]]}?" if near else ""
