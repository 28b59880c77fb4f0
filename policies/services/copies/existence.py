"""Whether the copies still exist in AWS: one that somebody else deleted is `gone`, and never counts as a copy."""

import logging
from collections import defaultdict
from collections.abc import Sequence

from django.db.models import QuerySet

from n2wbackup.lib import clock, each
from n2wbackup.lib.portions import portions
from policies.domain.copies.states import CopyState
from policies.domain.errors import BackupError
from policies.models import Account, Copy
from policies.services import existing, runs
from policies.services.copies import rows

log = logging.getLogger(__name__)

BATCH = 200


def compare() -> int:
    """Ask AWS for all copies; return how many are gone. What AWS does not answer for stays as it is."""
    there = Copy.objects.filter(state=CopyState.COMPLETED, account__isnull=False).order_by()
    places = there.values_list("account", "region").distinct()
    gone = list[Copy]()

    def look(place: tuple[int, str]) -> None:
        account, region = place
        keys = there.filter(account=account, region=region).values_list("pk", flat=True)
        for some in portions(list(keys), BATCH):
            gone.extend(_look(there.filter(pk__in=some)))

    each.apart(list(places), look, "the copies in %s could not be looked at")
    return len(gone)


def missing(copies: QuerySet[Copy]) -> str:
    """Return why it is not certain that AWS has all these copies; "" if it has. What is gone is entered so."""
    if copies.filter(account=None).exists():
        return "the account of a copy was deleted, so AWS cannot be asked for it"
    try:
        lost = _look(copies)
    except BackupError as error:
        return str(error)
    return f"no longer in AWS: {', '.join(map(str, lost))}" if lost else ""


def _look(copies: QuerySet[Copy]) -> Sequence[Copy]:
    """Enter and return those that AWS does not know, twice in a row; raises what AWS refuses."""
    places: defaultdict[tuple[Account, str], list[Copy]] = defaultdict(list)
    read = copies.select_related("account", "run", "source").defer("account__secret_access_key")
    for copy in read:
        if copy.account is not None:
            places[copy.account, copy.region].append(copy)
    lost = list[Copy]()
    for (account, region), ones in places.items():
        gone = set(existing.missing_of(account, region, [one.snapshot_id for one in ones]))
        lost += [one for one in ones if one.snapshot_id in gone]
    for copy in lost:
        if rows.move(copy, CopyState.GONE, next_at=None):
            what = f"the copy {copy.snapshot_id} of {copy.source} in {rows.where(copy)}"
            runs.record(copy.run, f"no longer in AWS: {what}", at=clock.now())
            log.warning("run %s: no longer in AWS: %s", copy.run_id, what)
    return lost
