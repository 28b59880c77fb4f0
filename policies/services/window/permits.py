"""Fire permits: the calls that AWS's rates still allow, counted in the database for all workers.

The rates are below AWS's for CreateSnapshots (bucket of 100, 5 a second), to leave room for other
users of the account.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
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
        wait = _volumes_free_at(volumes, now) or _take_tokens(bucket, float(calls), now)
        if wait is not None:
            return wait
        VolumeFire.objects.bulk_create(
            [VolumeFire(volume=volume, fired_at=now) for volume in sorted(set(volumes))],
            update_conflicts=True,
            unique_fields=["volume"],
            update_fields=["fired_at"],
        )
    return None


def pending_limit_reached(volume_types: Mapping[str, str]) -> dict[str, int]:
    """Return the volumes with as many pending snapshots as AWS allows, with the count.

    `volume_types` gives the type of each volume id.
    """
    rows = (
        RunSnapshot.objects.filter(
            state=Literal(RunSnapshot.State.PENDING), volume_id__in=list(volume_types)
        )
        .values("volume_id")
        .annotate(pending=Count("pk"))
    )
    full = {}
    for row in rows:
        slow = volume_types[row["volume_id"]] in SLOW_TYPES
        if row["pending"] >= (SLOW_PENDING_LIMIT if slow else PENDING_LIMIT):
            full[row["volume_id"]] = row["pending"]
    return full


def pending_in_words(volume_types: Mapping[str, str]) -> str:
    """Return what a run with these volumes waits for; "" if none has too many pending snapshots."""
    full = pending_limit_reached(volume_types) if volume_types else {}
    if not full:
        return ""
    volume, count = min(full.items())
    return f"waits for pending snapshots of {volume}: {count} is the most that AWS allows"


def _volumes_free_at(volumes: Sequence[str], now: datetime) -> datetime | None:
    # A fire in the future was entered before the clock was set back: its age is unknown.
    lately = (now - VOLUME_PAUSE + timedelta(microseconds=1), now + clock.SKEW)
    fires = VolumeFire.objects.filter(volume__in=volumes, fired_at__range=lately)
    last = fires.order_by("-fired_at").first()
    return last.fired_at + VOLUME_PAUSE if last else None


def _take_tokens(bucket: str, calls: float, now: datetime) -> datetime | None:
    # A policy with more targets than the bucket has tokens still gets its turn, when the bucket is full.
    wanted = min(calls, BURST)
    for _ in range(_TRIES):
        row, _made = FirePermits.objects.get_or_create(
            bucket=bucket, defaults={"tokens": BURST, "filled_at": now}
        )
        passed = max(0.0, (now - row.filled_at).total_seconds())
        # As with a fire in the future: how long the bucket has been filling is unknown.
        put_back = row.filled_at > now + clock.SKEW
        tokens = BURST if put_back else min(BURST, row.tokens + passed * PER_SECOND)
        if tokens < wanted:
            return now + timedelta(seconds=(wanted - tokens) / PER_SECOND)
        same = FirePermits.objects.filter(pk=bucket)
        expected = {"tokens": row.tokens, "filled_at": row.filled_at}
        if compare_and_set(same, expected, tokens=tokens - calls, filled_at=now):
            return None
    return now + timedelta(seconds=1)


def places() -> Iterator[tuple[str, str]]:
    """Yield where calls were ever permitted: the account's part of each bucket, and its region."""
    for bucket in FirePermits.objects.values_list("bucket", flat=True):
        account, _, region = bucket.rpartition(":")
        yield account, region
