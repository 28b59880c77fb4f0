"""The price table in force: the file that N2W_PRICES names, or the one that comes with this release."""

from pathlib import Path

from django.conf import settings

from policies.domain.costs import prices
from policies.domain.costs.prices import Prices
from policies.domain.errors import InputError

OWN = Path(__file__).with_name("prices.json")


def path() -> Path:
    return Path(settings.N2W_PRICES) if settings.N2W_PRICES else OWN


def load() -> Prices:
    """Return the table; InputError if the file that was named cannot be read or is wrong."""
    try:
        return prices.read(path().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        message = f"The price table {path()} cannot be read ({error}): correct N2W_PRICES."
        raise InputError(message) from error
    except ValueError as error:
        raise InputError(str(error)) from error
