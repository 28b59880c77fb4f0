"""Window leases: two windows never overlap on one instance or volume, across policies and owners."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, Q, QuerySet

from n2wbackup.lib import clock, compiled
from policies.domain.document.fields import DEFAULTS
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.models import Run, WindowLease
from scripts_admin.domain.phases import Phase

# A waiting run looks each ten seconds at the latest; one that has not looked for so long may never do.
LOOKS_WITHIN = timedelta(seconds=30)
ASKED_WITHIN = timedelta(minutes=5)
_RESERVED, _LONGER = "has reserved", "has waited longer for"  # in the reason of a run that waits


class Held(NamedTuple):
    """A resource that another run holds, or has waited longer for."""

    resource: str  # region:id
    by: Run
    is_taken: bool = True


class Taken(NamedTuple):
    """The result of taking leases.

    `waits_for`: none is taken, as another run holds this one or comes first. `beside`: all others are
    taken; a run of another owner has held this one for too long, and the caller must not freeze it.
    """

    waits_for: Held | None = None
    beside: Held | None = None


def take(run: Run, resources: Collection[str]) -> Taken:
    """Take all the leases that nobody holds, or none.

    One transaction and a sorted order ensure that two runs cannot wait for each other.
    """
    wanted, now = set(resources), clock.now()
    if not _is_asked_for(run, wanted) and _enter_if_free(run, sorted(wanted), now):
        return Taken()  # as nearly always
    WindowLease.objects.filter(_is_left(now)).delete()
    held = _held(run, wanted)
    waits_for = _first_that_counts(held, run, now) or _first_in_line(run, wanted, now)
    if waits_for is not None:
        return Taken(waits_for)
    free = sorted(wanted - {one.resource for one in held})
    if not _enter(run, free, now):
        return Taken(next(iter(_held(run, set(free))), Held(free[0], run)))
    return Taken(beside=held[0] if held else None)


def _enter_if_free(run: Run, free: Sequence[str], now: datetime) -> bool:
    """Enter the leases of a run that has none; False, and nothing changed, if a run was faster."""
    rows = [WindowLease(resource=name, run=run, taken_at=now) for name in free]
    with transaction.atomic(savepoint=False):
        if compiled.enter(rows, ignore_conflicts=True) == len(rows):
            return True
        WindowLease.objects.filter(run=run).delete()
    return False


def _enter(
    run: Run,
    free: Sequence[str],
    now: datetime,
) -> bool:
    """Enter the leases in place of those that the run has; False, and nothing changed, if a run was faster."""
    try:
        with transaction.atomic():
            WindowLease.objects.filter(run=run).delete()
            WindowLease.objects.bulk_create(
                [WindowLease(resource=name, run=run, taken_at=now) for name in free]
            )
    except IntegrityError:
        return False
    return True


def holder(run: Run, resources: Collection[str], now: datetime) -> Held | None:
    """Return the resource that the run would have to wait for now; changes nothing."""
    wanted = set(resources)
    if not _is_asked_for(run, wanted):
        return None
    return _first_that_counts(_held(run, wanted), run, now) or _first_in_line(run, wanted, now)


def in_words(run: Run, held: Held) -> str:
    """Return what the run waits for; of another owner's run it says nothing but that."""
    resource = held.resource.partition(":")[2]
    why = _RESERVED if held.is_taken else _LONGER
    if _is_of_the_same_owner(run, held.by):
        return f"waits for run {held.by.pk} of {held.by.label}, which {why} {resource}"
    return f"waits for another owner's run, which {why} {resource}"


def beside_in_words(held: Held) -> str:
    """Return why before and after are not run while another owner's after is repeated."""
    return (
        f"Another owner's run has kept {held.resource.partition(':')[2]} since its thaw failed, for longer than this "
        f"server lets others wait ({settings.N2W_OTHERS_WAIT_MINUTES} min): this run goes on without before and after, "
        "because their application may be frozen, and may be thawed at any time."
    )


def _is_asked_for(run: Run, wanted: Collection[str]) -> bool:
    """Tell, in one query, whether any run has a lease of these, this run has one of anything, or any run waits.

    A run may wait for something else: that is told by `_first_in_line`, which is asked then.
    """
    if not run.around.get("has_competitors", True):
        return False  # a moment ago; who has taken a lease since then keeps it
    return any(_asked_for.first(run.pk, sorted(wanted)) or (True,))


@compiled.Reading
def _asked_for(run: UUID, wanted: list[str]) -> QuerySet[Run, Any]:
    leases = WindowLease.objects.filter(Q(resource__in=wanted) | Q(run=run))
    waiting = Run.objects.unfinished(State.QUEUED, State.PREPARING).exclude(waiting_for="")
    return Run.objects.filter(pk=run).order_by().values_list(Exists(leases), Exists(waiting))


def _first_in_line(run: Run, wanted: Collection[str], now: datetime) -> Held | None:
    """Return a resource that another owner's run has waited longer for, and can take now.

    A run that has waited for long looks seldom: without a line, an owner with many policies would always be faster.
    Nobody stands in line for longer than the server's limit, whatever the runs before do.
    """
    since = run.waiting_since or now
    if now - since >= timedelta(minutes=settings.N2W_OTHERS_WAIT_MINUTES):
        return None
    looks = Q(not_before__gt=now - LOOKS_WITHIN, not_before__lte=now + LOOKS_WITHIN)
    for_a_lease = Q(waiting_for__contains=_RESERVED) | Q(waiting_for__contains=_LONGER)
    before = Q(waiting_since__lt=since) | Q(waiting_since=since, pk__lt=run.pk)
    waiting = Q(looks, state=State.QUEUED) | Q(state=State.PREPARING)
    for other in Run.objects.filter(waiting, before, for_a_lease).order_by("waiting_since", "pk"):
        theirs = set(other.waits_on.get("resources", ()))
        shared = sorted(theirs & set(wanted))
        if shared and not _is_of_the_same_owner(run, other) and not _held(other, theirs):
            return Held(shared[0], other, is_taken=False)
    return None


def _held(run: Run, resources: Collection[str]) -> list[Held]:
    rows = WindowLease.objects.select_related("run__policy").filter(resource__in=resources)
    rows = rows.exclude(_is_left(clock.now()))
    return [Held(row.resource, row.run) for row in rows.exclude(run=run).order_by("resource")]


def _is_left(now: datetime) -> Q:
    """Match what a run without a window holds for longer than a question to its instances takes.

    Its server died while it asked, and may never come back.
    """
    in_a_window = [State.PREPARING, *sequence.MAY_BE_FROZEN]
    return Q(taken_at__lt=now - ASKED_WITHIN) & ~Q(run__state__in=in_a_window)


def _first_that_counts(held: Collection[Held], run: Run, now: datetime) -> Held | None:
    return next((one for one in held if not _is_outlasted(one.by, run, now)), None)


def _is_outlasted(held_by: Run, run: Run, now: datetime) -> bool:
    """Tell whether another owner's window has been waited for as long as the server lets anybody wait.

    That time begins when its thaw failed for the first time, or should have begun. No policy's setting changes it.
    """
    if _is_of_the_same_owner(run, held_by) or held_by.state not in sequence.MAY_BE_FROZEN:
        return False
    first = held_by.phases.filter(phase=Phase.AFTER, attempt=1).values_list("ended_at", flat=True)
    since = next(iter(first), None)
    if since is None and held_by.ordered_at is not None:
        policy = held_by.policy
        freeze = policy.max_freeze_seconds if policy else DEFAULTS["max_freeze_seconds"]
        since = held_by.ordered_at + timedelta(seconds=freeze)
    limit = timedelta(minutes=settings.N2W_OTHERS_WAIT_MINUTES)
    return since is not None and now - since >= limit


def _is_of_the_same_owner(run: Run, other: Run) -> bool:
    return run.owner_id is not None and run.owner_id == other.owner_id
