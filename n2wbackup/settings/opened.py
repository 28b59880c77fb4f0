"""How many snapshots are open at the same time for people who look at their files, and for how long."""

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.settings.env import read

__all__ = [
    "N2W_OPENED_IDLE_MINUTES",
    "N2W_OPENED_OF_OWNER",
    "N2W_OPENED_SNAPSHOTS",
]


def _number(name: str, default: int, most: int) -> int:
    text = read(name, str(default))
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= most:
        raise ImproperlyConfigured(
            f"{name} is {text[:40]!r}: set it to a whole number from 1 to {most}."
        )
    return int(text)


# Each is a few processes and mounts on this machine.
N2W_OPENED_SNAPSHOTS = _number("N2W_OPENED_SNAPSHOTS", 8, 100)
N2W_OPENED_OF_OWNER = _number("N2W_OPENED_OF_OWNER", 3, 100)
# From the last page or download on.
N2W_OPENED_IDLE_MINUTES = _number("N2W_OPENED_IDLE_MINUTES", 15, 1440)
