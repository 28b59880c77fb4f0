"""A server that works with a copy of this database is seen in AWS: it makes snapshots of runs that are not in the rows.

Each run is in the rows before AWS is asked for its snapshots. So a new snapshot with the tag of a server of this
database, and of a run that is unknown here, was made from another database.
"""

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from n2wbackup.lib import clock, home
from policies.adapters import limits
from policies.domain.errors import RefusedError
from policies.models import Account, Run, Server
from policies.ports.removing import Removing
from policies.services.servers import alone

log = logging.getLogger(__name__)

LOOKS_BACK = timedelta(days=7)
FRESH_SECONDS = 600.0  # an answer of AWS serves so long
_FOUND = (
    "AWS has new snapshots of this server in the account {} ({} in {}) whose runs its database does not know, so it "
    "deletes no snapshot there. If another server works with a copy of the database, stop it. If this database "
    "was restored from a backup, run `manage.py rebuild_from_aws --adopt`. When {}."
)
_clear: dict[tuple[str, int, str], float] = {}  # server, account, region: when nothing was found


def refuse(account: Account, region: str, removing: Removing) -> None:
    """Raise RefusedError if another server seems to make snapshots there; asks AWS at most each ten minutes.

    What was found stays until a person confirms that this server goes on alone. It counts for that account only:
    whoever may tag in it can write the tags of a server, and must not keep the others from deleting.
    """
    mine, place = home.server_id(), f"{account.pk} {region}"
    row = Server.objects.get(pk=mine)
    if place in row.strangers:
        raise RefusedError(row.strangers[place])
    key, now = (mine, account.pk, region), clock.boottime()
    if now - _clear.get(key, -FRESH_SECONDS) < FRESH_SECONDS:
        return
    unknown = _unknown(row, region, removing)
    if unknown:
        words = _FOUND.format(f"{account.owner}/{account}", unknown[0], region, alone.CONFIRM)
        _enter(mine, place, words)
        raise RefusedError(words)
    _clear[key] = now


def forget() -> None:
    """Ask AWS anew next time."""
    _clear.clear()


def _unknown(row: Server, region: str, removing: Removing) -> list[str]:
    """Return the new snapshots of runs that the database does not know."""
    now = clock.now()
    since = min(now, max(row.confirmed_at or now, now - LOOKS_BACK))
    days = [
        (since + timedelta(days=each)).date()
        for each in range((now.date() - since.date()).days + 1)
    ]
    servers = [row.pk, *Server.objects.exclude(pk=row.pk).values_list("pk", flat=True)]
    found = removing.made_on(region, limits.SERVER_TAG, servers, days)
    runs = {
        each.snapshot_id: _run(each.tags)
        for each in found
        if each.started_at and each.started_at > since
    }
    known = _known({run for run in runs.values() if run})
    return sorted(name for name, run in runs.items() if run and run not in known)


def _run(tags: Mapping[str, str]) -> UUID | None:
    try:
        return UUID(tags.get(limits.RUN_TAG, ""))
    except ValueError:
        return None


def _known(keys: Collection[UUID]) -> set[UUID]:
    return set(Run.objects.filter(pk__in=keys).order_by().values_list("pk", flat=True))


def _enter(mine: str, place: str, words: str) -> None:
    with transaction.atomic():
        row = Server.objects.select_for_update().get(pk=mine)
        row.strangers[place] = words
        row.save(update_fields=["strangers"])
    log.error("%s", words)
