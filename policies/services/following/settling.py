"""Runs whose snapshots are all completed or failed go on to complete: many with few statements and one commit."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from n2wbackup.lib import clock, compiled, each, outages
from n2wbackup.lib.literal import Literal
from n2wbackup.lib.portions import portions
from policies.domain.runs.sequence import Event, State
from policies.models import Run, RunSnapshot, RunTarget
from policies.services import together
from policies.services.together import Change, LostError
from policies.services.window import defects

log = logging.getLogger(__name__)

TOGETHER = 100
# Of each run, what is compared and what is written; any other column would be asked for run by run.
_OF_A_RUN = ("state", "server", "cancel_requested_at", "dispatched_at")
# In the words of the indexes that have only these.
_PENDING = Literal(RunSnapshot.State.PENDING)
_UNKNOWN = Literal(RunTarget.State.UNKNOWN)


def settle_decided() -> None:
    """Send every waiting run to complete that has nothing left to wait for. One run's error keeps no other back."""
    for some in portions(_decided(), TOGETHER):
        if not _settled(some):
            each.apart(some, _settle_in_any_case, "run %s could not be settled")


@compiled.Reading
def _decided() -> QuerySet[Run]:
    """Return the waiting runs with nothing left to wait for, in one query: thousands may wait."""
    # From what is open to its runs. Asked for each run, PostgreSQL reads the targets of all runs ever made.
    unknown = RunTarget.objects.filter(state=_UNKNOWN).values("run")
    pending = RunSnapshot.objects.filter(state=_PENDING).values("target__run")
    nothing_left = ~Q(pk__in=unknown) & ~Q(pk__in=pending)
    waiting = Run.objects.unfinished(State.WAITING)
    return waiting.filter(nothing_left | Q(cancel_requested_at__isnull=False)).only(*_OF_A_RUN)


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
    keys = [run.pk for run in some]
    made: dict[int, list[_Made]] = defaultdict(list)
    for row in sorted(_snapshots(keys)):
        made[row[1]].append(_Made(*row))
    targets = sorted(_targets(keys), key=attrgetter("pk"))
    still_open = {each.run_id for each in targets if _is_open(each, made[each.pk])}
    ready = [run for run in some if run.cancel_requested_at is not None or run.pk not in still_open]
    gone_on = {run.pk for run in ready}
    fired = [
        (each, made[each.pk])
        for each in targets
        if each.run_id in gone_on and each.state == RunTarget.State.FIRED
    ]
    with transaction.atomic():
        _decide(fired)
        now = clock.now()
        together.apply_all([_change(run, now) for run in ready])
    return bool(ready)


class _Made(NamedTuple):
    """A snapshot, as far as its target is decided by it."""

    pk: int
    target: int
    snapshot_id: str
    volume_id: str
    state: str
    message: str


# In the order of their keys, SQLite may read all rows ever made.
@compiled.Reading
def _targets(runs: list[UUID]) -> QuerySet[RunTarget]:
    return RunTarget.objects.filter(run__pk__in=runs).order_by()


@compiled.Reading
def _snapshots(runs: list[UUID]) -> QuerySet[RunSnapshot, tuple[Any, ...]]:
    rows = RunSnapshot.objects.filter(target__run__pk__in=runs).order_by()
    return rows.values_list(*_Made._fields)


def _change(run: Run, now: datetime) -> Change:
    text = (
        "cancelled: the run does not wait for its snapshots"
        if run.cancel_requested_at is not None
        else "every snapshot is completed or failed"
    )
    return Change(run, Event.SETTLED, text, columns={"dispatched_at": now})


def _is_open(target: RunTarget, made: Sequence[_Made]) -> bool:
    """Tell whether the target is not decided yet."""
    is_pending = any(one.state == RunSnapshot.State.PENDING for one in made)
    return is_pending or target.state == RunTarget.State.UNKNOWN


def _decide(fired: Sequence[tuple[RunTarget, Sequence[_Made]]]) -> None:
    """Enter which targets are usable, and why the others are not."""
    states = RunSnapshot.State
    usable = list[int]()
    for target, its in fired:
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


def _ended_badly(one: _Made) -> str:
    """Return the snapshot with its state and the reason that AWS gave for it."""
    why = f": {one.message}" if one.message else ""
    return f"{one.snapshot_id} ({one.state}{why})"


def _advice(bad: Iterable[_Made]) -> str:
    """Return what to do about an error of which AWS tells the cause."""
    if any("key" in one.message.lower() for one in bad if one.state == RunSnapshot.State.ERROR):
        return "Allow the account to use the volumes' KMS keys, then run the policy again."
    return ""
