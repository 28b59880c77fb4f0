"""One after the other: what fails for one is logged and does not keep the others waiting."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import InterfaceError, OperationalError

log = logging.getLogger(__name__)
Item = TypeVar("Item")


def apart(items: Iterable[Item], act: Callable[[Item], object], trouble: str) -> int:
    """Do it for each item; return for how many the answer was true. `trouble`: the log's sentence, %s the item.

    A database that is away (OperationalError, InterfaceError) is away for all of them, and is raised.
    """
    done = 0
    for item in items:
        try:
            done += bool(act(item))
        except (InterfaceError, OperationalError):
            raise
        except Exception:
            log.exception(trouble, item)
    return done
