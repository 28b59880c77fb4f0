"""Which process looks at a place in AWS, and when the next look is due: by compare-and-set on `next_at`."""

from datetime import datetime, timedelta
from typing import TypeVar

from n2wbackup.lib import claims, clock
from policies.models import InventoryPlace, SsmPlace

P = TypeVar("P", InventoryPlace, SsmPlace)


def take(kind: type[P], *, lasts: timedelta, slowest: timedelta) -> P | None:
    """Take the place that has been due for longest; None if there is none, or another process took it.

    `slowest`: no look is planned further ahead than this.
    """
    now = clock.now()
    rows = kind.objects.filter(claims.due(now, slowest)).order_by("next_at", "pk")
    place = rows.select_related("account__owner").first()
    if place is None or not settle(place, now + lasts):
        return None
    place.next_at = now + lasts
    return place


def settle(place: InventoryPlace | SsmPlace, next_at: datetime, **changes: object) -> bool:
    """Give the claim back with what came of it; False, and nothing changed, if it is not ours any more.

    Of two looks at one place only that with the claim writes, and the row's lock keeps the other out.
    """
    same = type(place).objects.filter(pk=place.pk, next_at=place.next_at)
    return bool(same.update(next_at=next_at, **changes))


def again_at(place: InventoryPlace | SsmPlace, every: timedelta, slowest: timedelta) -> datetime:
    """Return when a place whose look has failed is looked at again: the pause doubles with each failure."""
    pause: timedelta = min(every * 2 ** min(place.failures, 10), slowest)
    return clock.now() + pause
