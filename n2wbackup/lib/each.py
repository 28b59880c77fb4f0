"""Do something for each item: if it fails for one, the error is logged and the others still get their turn."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from n2wbackup.lib import outages

log = logging.getLogger(__name__)
Item = TypeVar("Item")


def apart(items: Iterable[Item], act: Callable[[Item], object], trouble: str) -> int:
    """Call `act` for each item; return how often it returned a true value.

    `trouble` is the sentence for the log, with %s for the item. A database that is away is away for all items,
    so this error is raised.
    """
    done = 0
    for item in items:
        try:
            done += bool(act(item))
        except outages.AWAY:
            raise
        except Exception:
            log.exception(trouble, item)
    return done


def turn(*steps: Callable[[], object]) -> None:
    """Take every step of a turn; one that fails keeps none of the others back."""
    apart(steps, lambda step: step(), "%s failed; the next turn tries again")
