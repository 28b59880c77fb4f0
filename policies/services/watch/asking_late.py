"""Instances that are asked although the server has given up on their run: for as long as the policy's mark stands.

A question can thaw, where the far side is dead. So none is asked inside another window: whoever asks has leased the
instances, for as long as the answer and an after may take, and nobody asks while they are leased. For the same
reason an after that fails is not repeated. Only the clerk calls this, as it needs the rows; it holds the run's keeper
lock.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from django.db import transaction

from n2wbackup.lib import clock, home
from policies.models import Policy, Run, WindowLease
from policies.selectors.runs import has_thawed
from policies.services import runs
from policies.services.watch.visiting import Visitors
from policies.services.window import heard, late, leases
from scripts_admin.guard import journal as journals
from scripts_admin.guard import linux, spool, thaw
from scripts_admin.guard.journal import Journal

PAUSE_SECONDS = 60.0
_asked_until: dict[str, float] = {}


@cache
def _visitors() -> Visitors:
    return Visitors(home.runtime_to_thaw())


def turn(run: Run, folder: Path, runtime: Path) -> None:
    """Enter what instances have told, and ask the others when it is time; nothing here waits."""
    if not Policy.objects.filter(pk=run.policy_id or 0, may_be_frozen_since__isnull=False).exists():
        _stop(run, folder)  # a person has confirmed the thaw, or a later run has thawed
        return
    if spool.is_held(folder, spool.VISITOR):
        _asked_until[str(run.pk)] = linux.boottime()
        return
    WindowLease.objects.filter(run=run).delete()
    record = spool.read_any(folder)
    known = journals.with_visits(runtime, journals.read_if_there(runtime))
    owed = thaw.standing(record, known, linux.boot_id()).owed
    _enter(run, record, known or Journal(), owed)
    owed = _still(run, owed)
    if not owed:
        _stop(run, folder)
        how = (
            f"The instances of run {run.pk} have told that they are thawed: {run.label} is thawed."
        )
        if has_thawed(run):
            runs.unmark(run, how, clock.now())
    elif _is_due(run) and _has_leased(run, owed):
        _asked_until[str(run.pk)] = linux.boottime()
        _visitors().ask(folder, record, owed, note=late.NOTE)


def _enter(run: Run, record: spool.Record, known: Journal, owed: Sequence[str]) -> None:
    with transaction.atomic():
        if heard.enter(run, record, known, owed, with_texts=True):
            runs.record(run, "instances have told, after the server had given up")


def _still(run: Run, owed: Sequence[str]) -> tuple[str, ...]:
    """Return those that are still owed: what they told before this server was restarted is in the rows alone."""
    told = set(run.targets.filter(thawed_at__isnull=False).values_list("instance_id", flat=True))
    return tuple(each for each in owed if each not in told)


def _stop(run: Run, folder: Path) -> None:
    WindowLease.objects.filter(run=run).delete()
    late.end(folder)
    _asked_until.pop(str(run.pk), None)


def _is_due(run: Run) -> bool:
    last = _asked_until.get(str(run.pk))
    return last is None or linux.boottime() >= last + PAUSE_SECONDS


def _has_leased(run: Run, owed: Sequence[str]) -> bool:
    """Lease the instances; False, and none is leased, if a run has one of them or comes first."""
    regions = dict(run.targets.exclude(instance_id="").values_list("instance_id", "region"))
    taken = leases.take(run, [f"{regions[name]}:{name}" for name in owed if name in regions])
    if taken.waits_for is None and taken.beside is None:
        return True
    WindowLease.objects.filter(run=run).delete()
    return False
