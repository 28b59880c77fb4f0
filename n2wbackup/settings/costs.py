"""How much is counted for estimates of costs, and whose prices they use."""

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.settings.env import read

__all__ = ["N2W_PRICES", "N2W_SIZE_REQUESTS"]

_MOST = 1_000_000
# A file with other prices than those that come with the release; empty: those.
N2W_PRICES = read("N2W_PRICES", "")


def _requests() -> int:
    text = read("N2W_SIZE_REQUESTS", "2000")
    if not (text.isascii() and text.isdecimal()) or int(text) > _MOST:
        message = (
            f"N2W_SIZE_REQUESTS is {text[:40]!r}: set it to a number of requests, or to 0 for none."
        )
        raise ImproperlyConfigured(message)
    return int(text)


# List requests of a night, for the sizes of snapshots; AWS charges for them. 0: nothing is counted.
N2W_SIZE_REQUESTS = _requests()
