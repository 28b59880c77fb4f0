"""Removals: the only code that changes them, and the states of snapshots that go.

Each change locks the runs, then the policy, and then its own rows (see models/retention.py), and asks nothing of
AWS. A removal begins only where the plan, made anew under these locks, lets its restore point go. So a hold that
somebody takes comes either before, and the removal does not begin, or after, and is refused.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from n2wbackup.lib import clock
from n2wbackup.lib.portions import portions
from policies.domain.retention import plan as deciding
from policies.domain.retention.points import Fate, HoldKind, Verdict
from policies.models import Hold, Policy, Removal, Run, RunSnapshot
from policies.services import protection, runs
from policies.services.retention import planning
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

# What AWS may still have of a run.
STANDING = (
    RunSnapshot.State.COMPLETED,
    RunSnapshot.State.ERROR,
    RunSnapshot.State.TIMED_OUT,
)
LOOK_AGAIN = timedelta(hours=6)  # at what something in AWS keeps
LAST = "it is the last one of its target that is left"
_ROWS = 500


class Begun(NamedTuple):
    """What one turn of a policy has to do: delete `going`, and take back the removal of `staying`, with reasons."""

    going: Sequence[Run]
    staying: Mapping[UUID, str]


def notice() -> timedelta:
    """Return how long before its deletion a restore point is announced."""
    return timedelta(hours=settings.N2W_DELETE_AFTER_HOURS)


def announce(policy: Policy, *, by: str = "", at_once: bool = False) -> int:
    """Announce what the rules let go now, and withdraw what they keep by now; return how many are announced.

    `at_once`: a person asked for it, and waits for no notice.
    """
    with transaction.atomic():
        locked = _locked(policy.pk)
        if locked is None or planning.waits(locked):
            return 0
        now = clock.now()
        goes_after = now if at_once else now + notice()
        gone = {UUID(v.point.key): v for v in planning.of_policy(locked) if not v.keep}
        rows = Removal.objects.filter(run__policy=locked, begun_at=None, ended_at=None)
        known = {row.run_id: row for row in rows}
        stay = [row.pk for key, row in known.items() if key not in gone]
        # Announced in the future: the clock was wrong then, and the notice begins anew.
        wrong = Q(announced_at__gt=now + clock.SKEW)
        for keys in portions(stay, _ROWS):
            Removal.objects.filter(pk__in=keys).delete()
        rows.filter(wrong).update(announced_at=now, goes_after=goes_after)
        if at_once:
            rows.update(goes_after=now, by=by, next_at=None)
        _announce([v for key, v in gone.items() if key not in known], now, goes_after, by)
        if at_once and gone:
            change = Change("restore points", str(len(gone)), "")
            audit.record(Action.PRUNED, audit.subject(Kind.POLICY, locked, locked.label), [change])
        return len(gone)


def _announce(verdicts: Sequence[Verdict], now: datetime, goes_after: datetime, by: str) -> None:
    made = [
        Removal(
            run_id=UUID(verdict.point.key),
            why=verdict.reasons[0],
            by=by,
            announced_at=now,
            goes_after=goes_after,
        )
        for verdict in verdicts
    ]
    Removal.objects.bulk_create(made, batch_size=_ROWS, ignore_conflicts=True)


def leave(policy: Policy, fate: Fate, by: str) -> None:
    """Decide what becomes of the restore points of a policy that is about to be deleted.

    The caller has opened a transaction and locked the policy. What is held stays in any case; by the rules, so do the
    last ones of each target, and what nobody can tell the end of.
    """
    now = clock.now()
    of_policy = Removal.objects.filter(run__policy=policy, ended_at=None)
    of_policy.filter(begun_at=None).delete()
    if fate == Fate.KEEP:
        return
    of_policy.update(by=by)
    verdicts = planning.of_policy(policy)
    if fate == Fate.NOW:
        ends = {UUID(verdict.point.key): now for verdict in verdicts}
    else:
        soon = now + notice()
        ends = {UUID(v.point.key): v.until for v in verdicts if v.keep and v.until}
        ends = {key: max(end, soon) for key, end in ends.items()}
        ends |= {UUID(verdict.point.key): soon for verdict in verdicts if not verdict.keep}
        for key in deciding.lasts([verdict.point for verdict in verdicts], now):
            ends.pop(UUID(key), None)
    columns = {"why": _WHY[fate], "by": by, "announced_at": now}
    made = [Removal(run_id=key, goes_after=end, **columns) for key, end in ends.items()]
    Removal.objects.bulk_create(made, batch_size=_ROWS, ignore_conflicts=True)


_WHY = {
    Fate.NOW: "its policy was deleted with its restore points",
    Fate.RULES: "its policy was deleted, and its rules would have let it go",
}


def problem_of(policy: Policy) -> str:
    """Return why the removals of the policy that are due do not go on, or ""."""
    rows = Removal.objects.filter(run__policy=policy, ended_at=None).exclude(problem="")
    return rows.values_list("problem", flat=True).first() or ""


def lasts(policy_id: int) -> frozenset[UUID]:
    """Return the restore points of the policy because of which the others may go."""
    policy = Policy.objects.filter(pk=policy_id).first()
    verdicts = planning.of_policy(policy) if policy else []
    found = deciding.lasts([verdict.point for verdict in verdicts], clock.now())
    return frozenset(map(UUID, found))


def begin(policy_id: int, most: int, exist: Collection[UUID]) -> Begun:
    """Let removals that are due begin, at most so many with those that had begun before: the intent, committed.

    `exist`: the restore points that AWS has, as it said just now. Only because of these may others go.
    """
    nothing = Begun((), {})
    now = clock.now()
    of_policy = Removal.objects.filter(run__policy=policy_id, ended_at=None).order_by("goes_after")
    with transaction.atomic():
        due = list(of_policy.filter(is_due(now)).values_list("run", flat=True)[:most])
        _lock(due)  # before the plan is made: it sees every hold that somebody got
        policy = _locked(policy_id)
        if policy is None or planning.waits(policy):
            return nothing
        begun = set(of_policy.filter(begun_at__isnull=False).values_list("run", flat=True))
        verdicts = {UUID(v.point.key): v for v in planning.of_policy(policy, begun)}
        staying = {
            key: verdicts[key].reasons[0] if key in verdicts else "it is no restore point"
            for key in begun
            if key not in verdicts or verdicts[key].keep
        }
        if staying:  # whether they exist is to be found out before anything goes because of them
            return Begun((), staying)
        needed = deciding.lasts([verdict.point for verdict in verdicts.values()], now)
        if not {UUID(key) for key in needed} <= set(exist):
            return nothing
        chosen = [key for key in due if key in verdicts and not verdicts[key].keep]
        return Begun(_begin(chosen, now), {})


def by_rules(run_ids: Collection[UUID]) -> QuerySet[Removal]:
    """Return the removals of these that go by the rules of a policy that was deleted."""
    return Removal.objects.filter(run__in=run_ids, why=_WHY[Fate.RULES], ended_at=None)


def lasts_asked(run_ids: Collection[UUID]) -> frozenset[UUID]:
    """Return the restore points because of which these may go: each goes by the rules of a policy that was deleted."""
    rows = by_rules(run_ids)
    begun = set(rows.filter(begun_at__isnull=False).values_list("run", flat=True))
    of = rows.order_by().values_list("run__owner", "run__policy_name").distinct()
    found = set[UUID]()
    for owner, name in of:
        points = planning.without_policy(owner, name, begun)
        found |= {UUID(key) for key in deciding.lasts(points, clock.now())}
    return frozenset(found)


def begin_asked(run_ids: Collection[UUID], exist: Collection[UUID]) -> Begun:
    """Let removals begin that a person asked for when they deleted the policy; what is held stays.

    `exist`: the restore points that AWS has, as it said just now. Only because of these may others go by the rules.
    """
    now = clock.now()
    with transaction.atomic():
        _lock(run_ids)
        rows = Removal.objects.filter(run__in=run_ids, run__policy=None, ended_at=None)
        rows = rows.exclude(by="")
        needed = lasts_asked(run_ids)
        stays = by_rules(needed & set(run_ids))
        begun = stays.filter(begun_at__isnull=False).values_list("run", flat=True)
        staying = dict.fromkeys(begun, LAST)
        stays.filter(begun_at=None).delete()
        if staying or not needed <= set(exist):
            rows = rows.exclude(why=_WHY[Fate.RULES])
        asked = rows.filter(is_due(now)).values_list("run", flat=True)
        held = Hold.objects.filter(run__in=run_ids, released_at=None)
        held = held.filter(Q(until=None) | Q(until__gt=now))
        stay = set(held.values_list("run", flat=True))
        return Begun(_begin([key for key in asked if key not in stay], now), staying)


def is_due(now: datetime) -> Q:
    """Return which removals are to be gone on with now."""
    waited = Q(next_at=None) | Q(next_at__lte=now) | Q(next_at__gt=now + LOOK_AGAIN)
    return Q(goes_after__lte=now) & waited


def _begin(keys: Sequence[UUID], now: datetime) -> Sequence[Run]:
    found = Run.objects.filter(pk__in=keys).select_related("account", "removal")
    by_key = {run.pk: run for run in found}
    Removal.objects.filter(run__in=by_key, begun_at=None).update(begun_at=now, problem="")
    rows = RunSnapshot.objects.filter(target__run__in=by_key, state__in=STANDING)
    targets = set(rows.values_list("target", flat=True))
    rows.update(state=RunSnapshot.State.DELETING)
    Run.objects.filter(pk__in=by_key).update(restore_point=False)
    if targets:
        protection.forget(targets, now)
    return [by_key[key] for key in keys if key in by_key]


def withdraw(run: Run, states: Mapping[str, str], why: str, *, keep: bool = False) -> None:
    """Take a removal back: of its snapshots, AWS has those of `states`, in that state.

    `keep`: the reason lies in AWS, and holds the restore point until it is looked at again.
    """
    now = clock.now()
    with transaction.atomic():
        row = Run.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if not Removal.objects.filter(run=row, begun_at__isnull=False, ended_at=None).delete()[0]:
            return
        for snapshot in _deleting(row):
            state = _STATES.get(states.get(snapshot.snapshot_id, ""), RunSnapshot.State.TIMED_OUT)
            if snapshot.snapshot_id not in states:
                _enter_deleted(snapshot, now, None)
            else:
                RunSnapshot.objects.filter(pk=snapshot.pk).update(state=state)
        _settle(row)
        if keep:
            found = Hold.objects.filter(run=row, kind=HoldKind.AWS, released_at=None).first()
            held = found or Hold(run=row, kind=HoldKind.AWS, created_at=now)
            held.reason, held.until = why, now + LOOK_AGAIN
            held.save()
        runs.record(row, f"its deletion was taken back: {why}", at=now)
        protection.reconsider([row.policy_id])


_STATES = {
    "completed": RunSnapshot.State.COMPLETED,
    "error": RunSnapshot.State.ERROR,
}


def enter_deleted(snapshot: RunSnapshot, bin_until: datetime | None) -> None:
    """Enter that AWS has deleted the snapshot, or does not know it any more."""
    with transaction.atomic():
        _enter_deleted(snapshot, clock.now(), bin_until)


def _enter_deleted(snapshot: RunSnapshot, now: datetime, bin_until: datetime | None) -> None:
    RunSnapshot.objects.filter(pk=snapshot.pk, state=RunSnapshot.State.DELETING).update(
        state=RunSnapshot.State.DELETED, deleted_at=now, bin_until=bin_until
    )


def end(run: Run) -> None:
    """End the removal if nothing of the run is left to be deleted."""
    now = clock.now()
    with transaction.atomic():
        row = Run.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if _deleting(row).exists():
            return
        ended = Removal.objects.filter(run=row, begun_at__isnull=False, ended_at=None)
        why = ended.values_list("why", flat=True).first()
        if ended.update(ended_at=now, problem=""):
            runs.record(row, f"deleted its snapshots: {why}", at=now)


def fail(rows: QuerySet[Removal], problem: str, wait: timedelta) -> None:
    """Note why these removals do not go on, and when they are tried again."""
    now = clock.now()
    rows.filter(ended_at=None, goes_after__lte=now).update(problem=problem, next_at=now + wait)


def _settle(run: Run) -> None:
    """Enter whether the run is a restore point; the caller has locked it."""
    usable = RunSnapshot.objects.filter(
        target__run=OuterRef("pk"), state=RunSnapshot.State.COMPLETED
    )
    Run.objects.filter(pk=run.pk).update(restore_point=Exists(usable))


def _deleting(run: Run) -> QuerySet[RunSnapshot]:
    return RunSnapshot.objects.filter(target__run=run, state=RunSnapshot.State.DELETING)


def _lock(keys: Collection[UUID]) -> None:
    rows = Run.objects.select_for_update(of=("self",)).filter(pk__in=list(keys)).order_by("pk")
    list(rows.values_list("pk"))


def _locked(policy_id: int) -> Policy | None:
    rows = Policy.objects.select_for_update(of=("self",), no_key=True).filter(pk=policy_id)
    return rows.first()
