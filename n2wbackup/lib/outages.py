"""Outages and defects. An outage passes, so its work is tried again; any other error would come again."""

from django.db import InterfaceError, OperationalError

# The database is away. Adapters turn the outages of AWS and of the broker into errors or results of their own.
AWAY = (InterfaceError, OperationalError)


def named(error: BaseException) -> str:
    """Return the error's kind for a sentence, and the system's own words if it has some; never its other text.

    The text of an error may quote what a user or a script wrote; it is in the log only.
    """
    words = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
