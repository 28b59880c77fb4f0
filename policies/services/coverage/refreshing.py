"""The inventory: what AWS has in each chosen region of each account, refreshed one place at a time.

Nothing is written for what did not change but one mark per account and region. What a listing lacks is only missing,
as AWS's listings may lag; it is gone when it is still absent later. A reading that fails changes nothing and is told.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from n2wbackup.lib import clock, each
from policies.adapters import session
from policies.domain.errors import BackupError
from policies.models import Account, InventoryItem, InventoryPlace
from policies.selectors import coverage
from policies.services.coverage import claims
from policies.services.coverage.reading import Seen, seen
from policies.services.entry import chosen, enrolling
from policies.services.window import credentials

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=5)
SLOWEST = timedelta(hours=1)  # between two tries of a place that fails
# A refresh takes seconds. One that takes longer than this has died or is too late: it writes nothing.
CLAIM = timedelta(minutes=10)
# Absent for so long, and in another listing, too: gone.
PATIENCE = timedelta(minutes=4)
TICK_SECONDS = 5.0
_AT_ONCE = 500
_COLUMNS = (
    *("name", "tags", "type", "size_gib", "state", "instance_id", "is_boot", "digest"),
    *("last_seen_at", "missing_since", "gone_at"),
)


def tick() -> int:
    """Refresh the places that are due, one after another, for as long as the tick may take; return how many."""
    until, done = clock.boottime() + TICK_SECONDS, 0
    chosen.complete()
    while clock.boottime() < until:
        place = _claim()
        if place is None:
            break
        done += each.apart([place], refresh, "the inventory of %s could not be refreshed")
    return done


def soon(account: Account) -> None:
    """Have the account's places refreshed by the next tick; a refresh in progress is void and done again."""
    InventoryPlace.objects.filter(account=account).update(next_at=clock.now())


def _claim() -> InventoryPlace | None:
    return claims.take(InventoryPlace, lasts=CLAIM, slowest=SLOWEST)


def refresh(place: InventoryPlace) -> bool:
    """Read the place in AWS, enter what changed, and follow the account's rules; False if the claim ran out."""
    try:
        credentials.refuse_withdrawn(place.account)
        cloud = session.cloud(credentials.of(place.account))
        instances = cloud.all_instances(place.region)
        found = seen(instances, cloud.all_volumes(place.region))
    except BackupError as error:
        return _failed(place, str(error))
    with transaction.atomic():
        now = clock.now()
        ended = {"seen_at": now, "failed_since": None, "failures": 0, "problem": ""}
        if not claims.settle(place, now + EVERY, **ended):
            return False
        if instances and instances[0].aws_account_id:
            credentials.bucket(place.account, instances[0].aws_account_id)
        _enter(place, found, now)
    enrolling.follow(place.account, place.region)
    InventoryPlace.objects.filter(pk=place.pk).update(uncovered=coverage.uncovered_of(place))
    return True


def _failed(place: InventoryPlace, sentence: str) -> bool:
    return claims.settle(
        place,
        claims.again_at(place, EVERY, SLOWEST),
        failed_since=place.failed_since or clock.now(),
        failures=place.failures + 1,
        problem=sentence,
    )


def _enter(place: InventoryPlace, found: Iterable[Seen], now: datetime) -> None:
    there = {one.resource_id: one for one in found}
    rows = InventoryItem.objects.filter(account=place.account, region=place.region)
    known = {
        row.resource_id: row
        for row in rows.only("resource_id", "digest", "missing_since", "gone_at", "last_seen_at")
    }
    new = [
        InventoryItem(
            account=place.account, region=place.region, first_seen_at=now, **one.columns()
        )
        for key, one in there.items()
        if key not in known
    ]
    changed = []
    for key, row in known.items():
        one = there.get(key)
        if one is not None and (row.digest != one.digest or row.missing_since or row.gone_at):
            for column, value in one.columns().items():
                setattr(row, column, value)
            row.missing_since = row.gone_at = row.last_seen_at = None
            changed.append(row)
    InventoryItem.objects.bulk_create(new, batch_size=_AT_ONCE)
    InventoryItem.objects.bulk_update(changed, _COLUMNS, batch_size=_AT_ONCE)
    _absent([row for key, row in known.items() if key not in there], place.seen_at or now, now)


def _absent(rows: list[InventoryItem], last_seen: datetime, now: datetime) -> None:
    """Mark what this listing lacks: missing at first, gone if it was missing for long enough."""
    first = [row.pk for row in rows if row.missing_since is None and row.gone_at is None]
    gone = [
        row.pk
        for row in rows
        if row.gone_at is None and row.missing_since and now - row.missing_since >= PATIENCE
    ]
    for keys, changes in (
        (first, {"missing_since": now, "last_seen_at": last_seen}),
        (gone, {"gone_at": now}),
    ):
        for start in range(0, len(keys), _AT_ONCE):
            some = InventoryItem.objects.filter(pk__in=keys[start : start + _AT_ONCE])
            some.update(**changes)
