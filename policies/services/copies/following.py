"""Following the copies until each is completed or failed: one call for many, and no worker held.

Also: what was shared for a copy is unshared, and what AWS did not do in the time that was paid for is told.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from n2wbackup.lib import clock, each
from policies.adapters import session
from policies.domain.copies.states import UNDER_WAY, CopyState
from policies.domain.errors import BackupError, NotFoundError
from policies.models import Account, Copy
from policies.ports import Snapshot
from policies.services import runs
from policies.services.alarms import raising
from policies.services.copies import rows
from policies.services.window import credentials

log = logging.getLogger(__name__)

BATCH = 200
MOST = 2_000  # of one turn
ABSENT_FOR = timedelta(minutes=15)
# Young copies are looked at in each turn, older ones less often: (age from, every n-th turn).
SLOWER = ((timedelta(hours=1), 12), (timedelta(minutes=5), 3))
LONGEST = timedelta(days=7)
UNSHARED_AT_ONCE = 50
_FAILED = frozenset({"error", "recoverable"})


def tick(round_number: int = 0) -> None:
    """Ask AWS about the copies that are due in this round."""
    now = clock.now()
    pending = (
        Copy.objects.filter(state=CopyState.PENDING)
        .select_related("account", "run", "source__target")
        .defer("account__secret_access_key")
        .order_by("next_at", "pk")
    )
    groups: defaultdict[tuple[Account | None, str], list[Copy]] = defaultdict(list)
    for copy in pending[:MOST]:
        if _is_due(copy, now, round_number):
            groups[copy.account, copy.region].append(copy)
    for (account, region), ones in groups.items():
        for start in range(0, len(ones), BATCH):
            _look(account, region, ones[start : start + BATCH], now)
    unshare()


def _is_due(copy: Copy, now: datetime, round_number: int) -> bool:
    age = now - (copy.asked_at or copy.created_at)
    return round_number % next((n for since, n in SLOWER if age >= since), 1) == 0


def _look(account: Account | None, region: str, ones: Sequence[Copy], now: datetime) -> None:
    found: Mapping[str, Snapshot] | None = None
    try:
        if account is not None:
            cloud = session.cloud(credentials.of(account))
            found = cloud.describe(region, [copy.snapshot_id for copy in ones])
    except BackupError as error:
        log.warning("copies in %s could not be followed: %s", region, error)
    answers = {} if found is None else found
    is_answered = found is not None
    trouble = "the copy %s could not be followed"
    each.apart(
        ones,
        lambda copy: _enter(copy, answers.get(copy.snapshot_id), now, is_answered=is_answered),
        trouble,
    )


def _enter(copy: Copy, found: Snapshot | None, now: datetime, *, is_answered: bool) -> None:
    asked_at = copy.asked_at or copy.created_at
    if found is not None and found.state == "completed":
        done = found.completed_at or now
        with_what = {"progress": 100, "completed_at": done, "absent_since": None, "next_at": None}
        _tell_if_late(copy, done, now)
        if rows.move(copy, CopyState.COMPLETED, **with_what):
            runs.record(copy.run, f"{copy.source} is copied to {rows.where(copy)}: {copy}")
        return
    _tell_if_late(copy, now, now)
    if found is not None and found.state in _FAILED:
        rows.fail(copy, _said(found), now)
    elif found is not None:
        same = Copy.objects.filter(pk=copy.pk, state=CopyState.PENDING)
        same.update(progress=min(100, max(0, found.progress)), absent_since=None)
    elif is_answered and copy.absent_since is None:
        Copy.objects.filter(pk=copy.pk, state=CopyState.PENDING).update(absent_since=now)
    elif is_answered and copy.absent_since and now - copy.absent_since >= ABSENT_FOR:
        rows.fail(copy, f"AWS has no snapshot {copy.snapshot_id}: somebody deleted it.", now)
    if copy.state == CopyState.PENDING and now - asked_at >= LONGEST:
        rows.fail(copy, f"AWS has not completed it within {LONGEST.days} days.", now)


def _said(found: Snapshot) -> str:
    words = " ".join(found.message.split()).rstrip(".")[:300]
    advice = (
        "Allow the account to use the key, and the source's key too."
        if "key" in words.lower()
        else "Look at the snapshot in AWS's console."
    )
    return f'AWS says "{words}". {advice}' if words else f"AWS gave no reason. {advice}"


def _tell_if_late(copy: Copy, at: datetime, now: datetime) -> None:
    """Raise an alarm, once, if the time that is paid for has passed at `at` without the copy."""
    minutes = copy.completion_minutes
    begun = copy.asked_at or copy.created_at
    if not minutes or copy.late_told_at or at - begun <= timedelta(minutes=minutes):
        return
    if Copy.objects.filter(pk=copy.pk, late_told_at=None).update(late_told_at=now):
        copy.late_told_at = now
        runs.record(copy.run, f"AWS did not copy {copy.source} within {minutes} minutes")
        raising.copy_late(copy.run, rows.where(copy), minutes, now)


def unshare() -> int:
    """Share no source any longer than its copies need it; return how many were unshared."""
    over = (
        Copy.objects.exclude(shared_with="")
        .exclude(state__in=sorted(UNDER_WAY))
        .select_related("run__account", "source__target")
        .defer("run__account__secret_access_key")
        .order_by("?")
    )
    silent = set[int | None]()
    trouble = "the source of copy %s could not be unshared"
    return each.apart(list(over[:UNSHARED_AT_ONCE]), lambda copy: _unshare(copy, silent), trouble)


def _unshare(copy: Copy, silent: set[int | None]) -> bool:
    account = copy.run.account
    if account is None:
        return _forget(copy)
    others = Copy.objects.filter(source=copy.source, shared_with=copy.shared_with)
    if others.filter(state__in=sorted(UNDER_WAY)).exists():
        return False  # the last one of them does it
    if account.pk in silent:
        return False
    try:
        cloud = session.copies(credentials.of(account))
        cloud.unshare(copy.source.target.region, copy.source.snapshot_id, copy.shared_with)
    except NotFoundError:
        return _forget(copy)
    except BackupError as error:
        log.warning("the source of copy %s is still shared: %s", copy.pk, error)
        silent.add(account.pk)
        return False
    return _forget(copy)


def _forget(copy: Copy) -> bool:
    return bool(
        Copy.objects.filter(pk=copy.pk, shared_with=copy.shared_with).update(shared_with="")
    )
