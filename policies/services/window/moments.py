"""Times of journals, as rows have them."""

from datetime import UTC, datetime


def of(unix_seconds: float | None) -> datetime | None:
    """Return the aware UTC time of UNIX seconds."""
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, tz=UTC)
