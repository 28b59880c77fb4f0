"""When a restored volume is as fast as any other: until then AWS loads each block at its first use. Pure."""

from datetime import datetime, timedelta

COMPLETE = 100
_LEAST = 2  # percent: less says nothing about the rest
_LONGEST = timedelta(days=60)


def full_speed_at(
    progress: int, since: datetime, now: datetime, seconds: int | None
) -> datetime | None:
    """Return when the volume will be loaded; None: nobody can say.

    `seconds`: what AWS says that it still needs, if it does. Otherwise the rest is taken to go as the part so far.
    """
    if progress >= COMPLETE:
        return now
    if seconds is not None:
        return now + timedelta(seconds=seconds)
    passed = now - since
    if progress < _LEAST or passed <= timedelta(0):
        return None
    rest = passed * (COMPLETE - progress) / progress
    return now + rest if rest < _LONGEST else None
