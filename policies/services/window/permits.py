"""Fire permits: the calls that AWS's rates still allow, counted in the database for all workers.

The rates are below AWS's for CreateSnapshots (bucket of 100, 5 a second), to leave room for other
users of the account.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet, Subquery

from n2wbackup.lib import clock, compiled
from n2wbackup.lib.literal import Literal
from policies.models import FirePermits, RunSnapshot, VolumeFire

BURST = 50.0
PER_SECOND = 4.0
VOLUME_PAUSE = timedelta(seconds=15)
PENDING_LIMIT = 5
SLOW_PENDING_LIMIT = 1
SLOW_TYPES = frozenset({"st1", "sc1"})
PENDING_PAUSE = timedelta(seconds=30)
_TRIES = 5


def take(bucket: str, calls: int, volumes: Sequence[str]) -> datetime | None:
    """Take permits for so many calls on these volumes ("region:id"); None if taken.

    Else take nothing, and return the time from which it makes sense to ask again.
    """
    now = clock.now()
    with transaction.atomic(savepoint=False):  # nothing is written where it has to wait
        wait = _take_tokens(bucket, float(calls), sorted(set(volumes)), now)
        if wait is not None:
            return wait
        fires = [VolumeFire(volume=volume, fired_at=now) for volume in sorted(set(volumes))]
        compiled.enter(fires, replaces=True)
    return None


def pending_limit_reached(volume_types: Mapping[str, str]) -> dict[str, int]:
    """Return the volumes with as many pending snapshots as AWS allows, with the count.

    `volume_types` gives the type of each volume id.
    """
    full = {}
    for volume, pending in _pending(sorted(volume_types)):
        slow = volume_types[volume] in SLOW_TYPES
        if pending >= (SLOW_PENDING_LIMIT if slow else PENDING_LIMIT):
            full[volume] = pending
    return full


@compiled.Reading
def _pending(volumes: list[str]) -> QuerySet[RunSnapshot, Any]:
    pending = Literal(RunSnapshot.State.PENDING)
    rows = RunSnapshot.objects.filter(state=pending, volume_id__in=volumes).order_by()
    return (
        rows.values("volume_id").annotate(pending=Count("pk")).values_list("volume_id", "pending")
    )


def pending_in_words(volume_types: Mapping[str, str]) -> str:
    """Return what a run with these volumes waits for; "" if none has too many pending snapshots."""
    full = pending_limit_reached(volume_types) if volume_types else {}
    if not full:
        return ""
    volume, count = min(full.items())
    return f"waits for pending snapshots of {volume}: {count} is the most that AWS allows"


def _take_tokens(bucket: str, calls: float, volumes: list[str], now: datetime) -> datetime | None:
    # A policy with more targets than the bucket has tokens still gets its turn, when the bucket is full.
    wanted = min(calls, BURST)
    # A fire in the future was entered before the clock was set back: its age is unknown.
    lately = (now - VOLUME_PAUSE + timedelta(microseconds=1), now + clock.SKEW)
    for _ in range(_TRIES):
        found = _standing.first(bucket, volumes, *lately)
        if found is None:
            FirePermits.objects.get_or_create(
                bucket=bucket, defaults={"tokens": BURST, "filled_at": now}
            )
            continue
        tokens_then, filled_at, last_fire = found
        if last_fire is not None:
            free_at: datetime = last_fire + VOLUME_PAUSE
            return free_at
        passed = max(0.0, (now - filled_at).total_seconds())
        # As with a fire in the future: how long the bucket has been filling is unknown.
        put_back = filled_at > now + clock.SKEW
        tokens = BURST if put_back else min(BURST, tokens_then + passed * PER_SECOND)
        if tokens < wanted:
            return now + timedelta(seconds=(wanted - tokens) / PER_SECOND)
        same = {"pk": bucket, "tokens": tokens_then, "filled_at": filled_at}
        if compiled.change(FirePermits, same, {"tokens": tokens - calls, "filled_at": now}):
            return None
    return now + timedelta(seconds=1)


@compiled.Reading
def _standing(
    bucket: str, volumes: list[str], since: datetime, until: datetime
) -> QuerySet[FirePermits, Any]:
    """Return what is in the bucket, when it was filled, and the last fire of these volumes."""
    fires = VolumeFire.objects.filter(volume__in=volumes, fired_at__gte=since, fired_at__lte=until)
    last = Subquery(fires.order_by("-fired_at").values("fired_at")[:1])
    return FirePermits.objects.filter(pk=bucket).values_list("tokens", "filled_at", last)


def places() -> Iterator[tuple[str, str]]:
    """Yield where calls were ever permitted: the account's part of each bucket, and its region."""
    for bucket in FirePermits.objects.values_list("bucket", flat=True):
        account, _, region = bucket.rpartition(":")
        yield account, region
