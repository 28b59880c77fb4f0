"""Whether completed copies still exist in AWS: somebody may have deleted them, and no list may show them then."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from django.db.models import QuerySet

from n2wbackup.lib import clock, each
from policies.domain.copies.states import CopyState
from policies.domain.errors import BackupError
from policies.models import Account, Copy
from policies.services import existing
from policies.services.copies import rows
from policies.services.servers import turns

log = logging.getLogger(__name__)

EVERY = timedelta(hours=6)
YOUNG = timedelta(minutes=15)  # AWS may not show for a while what it has just made


def tick() -> int:
    """Look at all copies, a few times a day; return in how many places all of them are there."""
    if not turns.take("copies_exist", EVERY.total_seconds() - 1):
        return 0
    there = _completed()
    places = list(there.order_by().values_list("account", "region").distinct())
    trouble = "copies in %s could not be looked at"
    return each.apart(places, lambda p: certain(there.filter(account=p[0], region=p[1])), trouble)


def _completed() -> QuerySet[Copy]:
    rows_of = Copy.objects.filter(state=CopyState.COMPLETED, account__isnull=False)
    return rows_of.select_related("account", "run", "source").order_by("pk")


def certain(copies: Iterable[Copy]) -> bool:
    """Ask AWS for these copies, and enter those that are gone; True only if all of them are there."""
    groups: defaultdict[tuple[Account | None, str], dict[str, Copy]] = defaultdict(dict)
    for copy in copies:
        groups[copy.account, copy.region][copy.snapshot_id] = copy
    missing = 0
    for (account, region), ones in groups.items():
        if account is None:
            return False
        try:
            lost = existing.missing_of(account, region, list(ones))
        except BackupError as error:
            log.warning("copies in %s could not be looked at: %s", region, error)
            return False
        missing += len(lost)
        for snapshot_id in lost:
            _enter(ones[snapshot_id])
    return not missing


def _enter(copy: Copy) -> None:
    now = clock.now()
    if copy.completed_at is None or now - copy.completed_at >= YOUNG:
        rows.lose(copy, now)
