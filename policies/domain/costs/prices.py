"""The price table: what AWS asks for a stored GiB, as data with a date and a source. Pure: text in, prices out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

OLD_DAYS = 1_095
_HIGHEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """`gib_month` by region; `default` stands for the regions that are not named."""

    as_of: date
    source: str
    currency: str
    default: float
    gib_month: Mapping[str, float]
    list_requests_1000: float

    def of(self, region: str) -> float:
        """Return what a GiB of snapshots costs in the region for a month."""
        return self.gib_month.get(region, self.default)

    def age_days(self, today: date) -> int:
        return (today - self.as_of).days


def read(text: str) -> Prices:
    """Return the table; ValueError with a sentence that names what is wrong."""
    try:
        said = json.loads(text)
    except ValueError as error:
        message = f"The price table is not JSON ({error}): correct it, or take N2W_PRICES away."
        raise ValueError(message) from error
    if not isinstance(said, dict):
        message = "The price table must be a mapping: see docs/costs.md."
        raise ValueError(message)  # noqa: TRY004 - one kind of error for whoever reads it
    stored = {str(key): _price(key, value) for key, value in _mapping(said).items()}
    if "default" not in stored:
        message = "The price table has no snapshot_gib_month.default: add the price for all other regions."
        raise ValueError(message)
    return Prices(
        as_of=_date(said.get("as_of")),
        source=str(said.get("source", "")),
        currency=str(said.get("currency", "USD"))[:8],
        default=stored.pop("default"),
        gib_month=stored,
        list_requests_1000=_price("list_requests_1000", said.get("list_requests_1000", 0.0)),
    )


def _mapping(said: Mapping[str, Any]) -> Mapping[str, Any]:
    found = said.get("snapshot_gib_month")
    if not isinstance(found, dict):
        message = "The price table has no snapshot_gib_month: add a price for each region."
        raise ValueError(message)  # noqa: TRY004 - as above
    return found


def _price(key: object, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _HIGHEST:
        message = f"The price table's {key} is {value!r}: write a number from 0 on."
        raise ValueError(message)
    return float(value)


def _date(value: object) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        message = f"The price table's as_of is {value!r}: write the day of the prices, such as 2026-01-31."
        raise ValueError(message) from error
