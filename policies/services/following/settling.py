"""Runs whose snapshots are all completed or failed go on to complete: many with few statements and one commit."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet

from n2wbackup.lib import clock, each, outages
from n2wbackup.lib.literal import Literal
from n2wbackup.lib.portions import portions
from policies.domain.runs.sequence import Event, State
from policies.models import Run, RunSnapshot, RunTarget
from policies.services import together
from policies.services.together import Change, LostError
from policies.services.window import defects

log = logging.getLogger(__name__)

TOGETHER = 100
# Of each run, here: the others are not compared, and not written.
_OF_A_RUN = ("state", "server", "cancel_requested_at")
# In the words of the indexes that have only these.
_PENDING = Literal(RunSnapshot.State.PENDING)
_UNKNOWN = Literal(RunTarget.State.UNKNOWN)


def settle_decided() -> None:
    """Send every waiting run to complete that has nothing left to wait for. One run's error keeps no other back."""
    for some in portions(_decided().only(*_OF_A_RUN), TOGETHER):
        if not _settled(some):
            each.apart(some, _settle_in_any_case, "run %s could not be settled")


def _decided() -> QuerySet[Run]:
    """Return the waiting runs with nothing left to wait for, in one query: thousands may wait."""
    # From what is open to its runs. Asked for each run, PostgreSQL reads the targets of all runs ever made.
    unknown = RunTarget.objects.filter(state=_UNKNOWN).values("run")
    pending = RunSnapshot.objects.filter(state=_PENDING).values("target__run")
    nothing_left = ~Q(pk__in=unknown) & ~Q(pk__in=pending)
    return Run.objects.unfinished(State.WAITING).filter(
        nothing_left | Q(cancel_requested_at__isnull=False)
    )


def _settled(some: Sequence[Run]) -> bool:
    """Settle the runs together; False, and nothing is changed, if that fails: it may be for the sake of one."""
    if len(some) == 1:
        return False
    try:
        _settle(some)
    except outages.AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - it comes again where each is settled by itself
        log.info("%s runs are settled one by one (%s)", len(some), outages.named(error))
        return False
    return True


def _settle_in_any_case(run: Run) -> bool:
    try:
        return settle(run)
    except outages.AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - a run always ends
        defects.end(run.pk, error, "judged by its snapshots")
        return True


def settle(run: Run) -> bool:
    """Send a waiting run to complete if every target is decided; True if it was sent."""
    try:
        return _settle([run])
    except LostError:
        return False


def _settle(some: Sequence[Run]) -> bool:
    """Send those of the runs to complete that are decided; LostError, and nothing is changed, if one has moved on."""
    targets: dict[UUID, list[RunTarget]] = {run.pk: [] for run in some}
    # In the order of their keys, SQLite may read all rows ever made.
    made = Prefetch("snapshots", RunSnapshot.objects.order_by())
    for target in RunTarget.objects.filter(run__in=targets).order_by().prefetch_related(made):
        targets[target.run_id].append(target)
    ready = [
        run
        for run in some
        if run.cancel_requested_at is not None or not any(map(_is_open, targets[run.pk]))
    ]
    fired = [
        target
        for run in ready
        for target in targets[run.pk]
        if target.state == RunTarget.State.FIRED
    ]
    with transaction.atomic():
        _decide(fired)
        now = clock.now()
        together.apply_all([_change(run, now) for run in ready])
    return bool(ready)


def _change(run: Run, now: datetime) -> Change:
    text = (
        "cancelled: the run does not wait for its snapshots"
        if run.cancel_requested_at is not None
        else "every snapshot is completed or failed"
    )
    return Change(run, Event.SETTLED, text, columns={"dispatched_at": now})


def _is_open(target: RunTarget) -> bool:
    """Tell whether the target is not decided yet; its snapshots are read already."""
    pending = RunSnapshot.State.PENDING
    is_pending = any(snapshot.state == pending for snapshot in target.snapshots.all())
    return is_pending or target.state == RunTarget.State.UNKNOWN


def _decide(fired: Sequence[RunTarget]) -> None:
    """Enter which targets are usable, and why the others are not."""
    states = RunSnapshot.State
    usable = list[int]()
    for target in fired:
        its = sorted(target.snapshots.all(), key=attrgetter("pk"))
        bad = [one for one in its if one.state != states.COMPLETED]
        made = {one.volume_id for one in its}
        if not bad and made == set(target.expected_volume_ids):
            usable.append(target.pk)
            continue
        target.state = RunTarget.State.FAILED
        if bad:
            listed = ", ".join(map(_ended_badly, bad))
            reason = f"{target.reason} Not every snapshot was completed: {listed}."
            target.reason = f"{reason} {_advice(bad)}".strip()
        target.save(update_fields=["state", "reason"])
    if usable:
        RunTarget.objects.filter(pk__in=usable).update(state=RunTarget.State.USABLE)


def _ended_badly(one: RunSnapshot) -> str:
    """Return the snapshot with its state and the reason that AWS gave for it."""
    why = f": {one.message}" if one.message else ""
    return f"{one.snapshot_id} ({one.state}{why})"


def _advice(bad: Iterable[RunSnapshot]) -> str:
    """Return what to do about an error of which AWS tells the cause."""
    if any("key" in one.message.lower() for one in bad if one.state == RunSnapshot.State.ERROR):
        return "Allow the account to use the volumes' KMS keys, then run the policy again."
    return ""
