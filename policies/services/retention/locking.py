"""Locks of snapshots in AWS: nobody can delete a locked one, whatever their rights, until the lock ends.

A lock ends no later than the rules let the restore point go. It is a hold as well, so the plan knows it. A lock that
AWS refuses is told in the run's history; the backup is as good without it. Until AWS has locked all of a restore
point, its hold says `ASKED`: a process that dies half way leaves that, and the next turn asks again.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from n2wbackup.lib import clock, each
from policies.adapters import session
from policies.domain.errors import BackupError, RefusedError, ThrottledError, UnreachableError
from policies.domain.retention.points import HoldKind
from policies.models import Hold, Run, RunSnapshot
from policies.ports.removing import Removing
from policies.services import runs
from policies.services.retention import holds, planning
from policies.services.window import credentials
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

log = logging.getLogger(__name__)

SHORTEST = timedelta(days=1, hours=1)  # AWS wants a day at least
LONGEST = timedelta(days=36_500)
YOUNG = timedelta(days=2)  # older ones were made before locking was switched on
AT_ONCE = 50
ASKED, LOCKED = "asked", ""  # the keys of the holds
LOST = timedelta(minutes=15)  # nobody asks for so long: whoever has was killed
GOVERNANCE, COMPLIANCE = "governance", "compliance"
COOL_OFF_HOURS = range(1, 73)


def tick() -> int:
    """Lock the young restore points whose end by the rules is known, if this server locks; return how many."""
    if not settings.N2W_LOCK_SNAPSHOTS:
        return 0
    lost = Q(key=ASKED, released_at=None) & ~_asked_now()
    locked = Hold.objects.filter(run=OuterRef("pk"), kind=HoldKind.LOCK).exclude(lost)
    rows = Run.objects.filter(created_at__gte=clock.now() - YOUNG, restore_point=True)
    young = rows.exclude(Exists(locked)).select_related("policy", "account").order_by("-created_at")
    found = list(young[:AT_ONCE])
    verdicts = planning.of_runs(found, planning.MANY)

    def one(run: Run) -> bool:
        verdict = verdicts.get(run.pk)
        end = verdict.until if verdict and verdict.keep else None
        return end is not None and _by_the_rules(run, end)

    return each.apart(found, one, "the snapshots of run %s could not be locked")


def _by_the_rules(run: Run, until: datetime) -> bool:
    if until < clock.now() + SHORTEST:
        return False
    try:
        _lock(run, GOVERNANCE, until, 0)
    except (ThrottledError, UnreachableError) as error:
        log.info("run %s is locked later: %s", run.pk, error)
        Hold.objects.filter(run=run, kind=HoldKind.LOCK, key=ASKED).delete()  # it is tried again
        return False
    except BackupError as error:
        runs.record(run, f"its snapshots could not be locked: {error}")
        return False
    return True


def lock(run: Run, *, mode: str, until: datetime, cool_off_hours: int, by: str) -> None:
    """Lock the run's snapshots until then; RefusedError or AWS's answer: no hold stays."""
    now = clock.now()
    if not now + SHORTEST <= until <= now + LONGEST:
        message = "A lock lasts from one day to a hundred years: choose another end."
        raise RefusedError(message)
    if mode == COMPLIANCE and cool_off_hours not in COOL_OFF_HOURS:
        message = "A compliance lock needs a cool-off of 1 to 72 hours, in which it can still be taken away."
        raise RefusedError(message)
    _lock(run, mode, until, cool_off_hours if mode == COMPLIANCE else 0)
    _audit(Action.LOCKED, run, until, f"{mode}, by {by}")


def _asked_now() -> Q:
    """A time of the future was written before the clock was put back."""
    now = clock.now()
    return Q(created_at__gt=now - LOST, created_at__lte=now + clock.SKEW)


def _lock(run: Run, mode: str, until: datetime, cool_off_hours: int) -> None:
    end = f"in AWS ({mode}) until {until:%Y-%m-%d %H:%M} UTC"
    Hold.objects.filter(run=run, kind=HoldKind.LOCK, key=ASKED).delete()
    holds.take(run.pk, HoldKind.LOCK, key=ASKED, reason=f"being locked {end}", until=until)
    try:
        removing = _removing(run)
        for region, snapshot_id in _snapshots(run):
            removing.lock(region, snapshot_id, mode, until, cool_off_hours)
    except BackupError:
        holds.drop(run.pk, HoldKind.LOCK, key=ASKED)
        raise
    with transaction.atomic():
        holds.take(run.pk, HoldKind.LOCK, key=LOCKED, reason=f"locked {end}", until=until)
        Hold.objects.filter(run=run, kind=HoldKind.LOCK, key=ASKED).delete()
        runs.record(run, f"its snapshots are locked {end}")


def unlock(run: Run, *, by: str) -> None:
    """Take the locks of the run's snapshots away; AWS refuses that for a compliance lock that has cooled off."""
    held = Hold.objects.filter(run=run, kind=HoldKind.LOCK, released_at=None).first()
    if held is None:
        message = f"This server has not locked run {run.pk}: there is nothing to unlock."
        raise RefusedError(message)
    removing = _removing(run)
    for region, snapshot_id in _snapshots(run):
        removing.unlock(region, snapshot_id)
    for key in (ASKED, LOCKED):
        holds.drop(run.pk, HoldKind.LOCK, key=key)
    runs.record(run, f"its snapshots were unlocked by {by}")
    _audit(Action.UNLOCKED, run, held.until, f"by {by}")


def _removing(run: Run) -> Removing:
    if run.account is None:
        message = f"Run {run.pk} has no account any more, so AWS cannot be asked."
        raise RefusedError(message)
    credentials.refuse_withdrawn(run.account)
    return session.removing(credentials.of(run.account))


def _snapshots(run: Run) -> Iterator[tuple[str, str]]:
    rows = RunSnapshot.objects.filter(target__run=run, state=RunSnapshot.State.COMPLETED)
    yield from rows.order_by("pk").values_list("target__region", "snapshot_id")


def _audit(action: Action, run: Run, until: datetime | None, reason: str) -> None:
    end = f"{until:%Y-%m-%d %H:%M} UTC" if until else ""
    before, after = ("", end) if action == Action.LOCKED else (end, "")
    change = Change("locked_until", before, after)
    audit.record(action, audit.subject(Kind.RUN, run, run.label), [change], reason=reason)
