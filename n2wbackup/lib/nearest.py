"""The name that somebody probably meant."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_ALIKE = 0.6


def hint(given: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" with the most similar of the names, or "" if none is similar.

    Upper and lower case are the same. Of OWNER/NAME, owner and name must be similar each. The names must
    be ones that the reader may see.
    """
    folded = given.casefold()
    by_folded = {name.casefold(): name for name in known}
    alike = [name for name in by_folded if _parts_alike(folded, name)]
    near = get_close_matches(folded, alike, n=1, cutoff=_ALIKE)
    return f" Did you mean {by_folded[near[0]]}?" if near else ""


def _parts_alike(given: str, name: str) -> bool:
    ours, theirs = given.split("/"), name.split("/")
    return len(ours) == len(theirs) and all(
        SequenceMatcher(None, one, other).ratio() >= _ALIKE
        for one, other in zip(ours, theirs, strict=True)
    )
