"""What the rules of a policy keep and let go, from the rows as they are now. Nothing is written or deleted here."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Exists, OuterRef, Q, QuerySet

from n2wbackup.lib import clock, home
from policies.domain.proofs import Level, State
from policies.domain.retention import plan as deciding
from policies.domain.retention.points import Hold as Holding
from policies.domain.retention.points import HoldKind, Point, Verdict
from policies.domain.retention.rules import Rules
from policies.domain.runs.verdict import Consistency
from policies.models import (
    Hold,
    Policy,
    Proof,
    Removal,
    Run,
    RunSnapshot,
    RunTarget,
    Server,
)

# A page, or a list, looks at so many restore points at most; the policy's own page has all of them.
MANY, MANY_ON_A_LIST = 2_000, 250
DELETED = "its policy was deleted, so no rule lets it go"
DISABLED = "the policy is disabled and keeps everything"
FROZEN = "nothing goes while the policy's application may be frozen"
UNDER_WAY = "nothing goes while a run of the policy is under way"
NO_ACCOUNT = "its account was deleted from this server, so AWS cannot be asked to delete it"
NO_ZONE = "the policy's time zone {} is not known here, so nothing goes"

LISTED = 100
_GONE = (RunSnapshot.State.GONE, RunSnapshot.State.DELETED)


class Edited(NamedTuple):
    """What a change of a policy's rules would do to its restore points."""

    kept: int
    gone: int
    more: tuple[Verdict, ...]  # what would go and stayed before, newest first

    @property
    def listed(self) -> tuple[Verdict, ...]:
        """Of `more`, as many as a page shows."""
        return self.more[:LISTED]


def of_policy(policy: Policy, begun: Collection[UUID] = ()) -> list[Verdict]:
    """Return what becomes of each restore point of the policy, newest first.

    `begun`: runs whose removal has begun and not ended. They are judged as if all their snapshots still existed.
    """
    points = _points([policy.pk], begun).get(policy.pk, ())
    kept_by = _kept_by(policy, _under_way([policy.pk]))
    return _decide(policy, points, _holds(UUID(each.key) for each in points), kept_by)


def of_runs(found: Iterable[Run], most: int | None = None) -> Mapping[UUID, Verdict]:
    """Return what becomes of those of the runs that are restore points; their policies are best read along.

    `most`: so many restore points are looked at. A run that is missing then has a policy with too many.
    """
    points = [run for run in found if run.restore_point and run.ended_at is not None]
    if not points:
        return {}
    ruled = {run.policy.pk: run.policy for run in points if run.policy and _has_rules(run.policy)}
    keys = list(ruled) if most is None or not ruled else _few(list(ruled), most)
    made = _points(keys) if keys else {}
    known = {run.pk for run in points} | {UUID(each.key) for some in made.values() for each in some}
    held = _holds(known)
    decided, busy = _without_rules(points, held), _under_way(made)
    for key, some in made.items():
        policy = ruled[key]
        verdicts = _decide(policy, some, held, _kept_by(policy, busy))
        decided |= {UUID(verdict.point.key): verdict for verdict in verdicts}
    return decided


def _few(keys: Sequence[int], most: int) -> list[int]:
    """Return the policies, from the first on, that have so many restore points together at most."""
    rows = _points_of(keys).order_by("policy", "-created_at").values_list("policy", flat=True)
    counted: Counter[int] = Counter(rows[: most + 1])
    if counted.total() > most:
        del counted[max(counted)]
    return list(counted)


def edited(before: Policy, after: Policy) -> Edited:
    """Return what the change does, as if nothing were under way."""
    points = _points([before.pk]).get(before.pk, ())
    held = _holds(UUID(each.key) for each in points)
    went = {v.point.key for v in _decide(before, points, held, _disabled(before)) if not v.keep}
    verdicts = _decide(after, points, held, _disabled(after))
    going = [verdict for verdict in verdicts if not verdict.keep]
    return Edited(
        kept=len(verdicts) - len(going),
        gone=len(going),
        more=tuple(verdict for verdict in going if verdict.point.key not in went),
    )


def as_if(policy: Policy) -> list[Verdict]:
    """Return what becomes of each restore point by the rules of this object, saved or not, as if it were enabled."""
    points = _points([policy.pk]).get(policy.pk, ())
    return _decide(policy, points, _holds(UUID(each.key) for each in points), "")


def _without_rules(points: Iterable[Run], held: Sequence[Holding]) -> dict[UUID, Verdict]:
    """Decide about what no rule lets go: no other restore point of the policy has to be read for it."""
    decided: dict[UUID, Verdict] = {}
    orphans = [run.pk for run in points if run.policy is None]
    asked = Removal.objects.filter(run__in=orphans, ended_at=None).exclude(by="")
    going = dict(asked.values_list("run", "why")) if orphans else {}
    for run in points:
        if run.policy is None or not _has_rules(run.policy):
            worth = Consistency(run.consistency)
            point = Point(str(run.pk), run.fired_at or run.created_at, worth, {"": worth})
            kept_by = "" if run.policy else DELETED
            (verdict,) = deciding.plan([point], Rules(), held, clock.now(), kept_by)
            reasons = [
                each for each in verdict.reasons if not kept_by or each != deciding.KEEPS_ALL
            ]
            decided[run.pk] = verdict._replace(reasons=tuple(reasons))
            if run.pk in going and not any(hold.point == str(run.pk) for hold in held):
                decided[run.pk] = Verdict(point, keep=False, reasons=(going[run.pk],))
    return decided


def _decide(
    policy: Policy, points: Sequence[Point], held: Iterable[Holding], kept_by: str
) -> list[Verdict]:
    kept = policy.rules
    try:
        ZoneInfo(kept.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        kept_by, kept = NO_ZONE.format(kept.timezone), Rules()
    return deciding.plan(points, kept, held, clock.now(), kept_by)


def waits(policy: Policy) -> bool:
    """Tell whether nothing of the policy may go now, and nothing is decided about it either."""
    return policy.may_be_frozen_since is not None or policy.pk in _under_way([policy.pk])


def _has_rules(policy: Policy) -> bool:
    return not policy.rules.keeps_all


def _disabled(policy: Policy) -> str:
    return DISABLED if _has_rules(policy) and not policy.enabled else ""


def _kept_by(policy: Policy, busy: Collection[int]) -> str:
    """Return why the policy keeps everything now, whatever its rules; "" if nothing is like that."""
    if not _has_rules(policy) or not policy.enabled:
        return _disabled(policy)
    if policy.may_be_frozen_since is not None:
        return FROZEN
    return UNDER_WAY if policy.pk in busy else ""


def _under_way(keys: Collection[int]) -> set[int]:
    """Return those of the policies that have an unfinished run."""
    return set(Run.objects.unfinished().filter(policy__in=keys).values_list("policy", flat=True))


def _points_of(keys: Collection[int]) -> QuerySet[Run]:
    rows = Run.objects.filter(policy__in=keys, restore_point=True, ended_at__isnull=False)
    return rows.order_by()


def _points(keys: Collection[int], begun: Collection[UUID] = ()) -> Mapping[int, list[Point]]:
    """Return the restore points of the policies, by the key of their policy."""
    found: defaultdict[int, list[Point]] = defaultdict(list)
    for policy, point in _seen(_points_of(keys), begun):
        found[policy or 0].append(point)
    return found


def without_policy(
    owner: int | None, policy_name: str, begun: Collection[UUID] = ()
) -> list[Point]:
    """Return the restore points of a policy that was deleted; `begun` as in `of_policy`."""
    rows = Run.objects.filter(policy=None, owner=owner, policy_name=policy_name)
    there = rows.filter(restore_point=True, ended_at__isnull=False).order_by()
    return [point for _, point in _seen(there, begun)]


def _seen(rows: QuerySet[Run], begun: Collection[UUID]) -> Iterator[tuple[int | None, Point]]:
    """Yield the runs as retention sees them, with the key of their policy."""
    ours = {"", home.server_id(), *Server.objects.values_list("pk", flat=True)}
    of_run = ("pk", "policy", "fired_at", "created_at", "consistency", "server", "account")
    runs = list(rows.values_list(*of_run))
    known = {key for key, *_ in runs}
    for some in _by_the_thousand([key for key in begun if key not in known]):
        runs += Run.objects.filter(pk__in=some).order_by().values_list(*of_run)
    targets = _targets([key for key, *_ in runs], begun)
    proven = _proven([key for key, *_ in runs])
    for key, policy, fired, created, worth, server, account in runs:
        yield (
            policy,
            Point(
                key=str(key),
                at=fired or created,
                consistency=Consistency(worth),
                targets=targets.get(key, {}),
                proven=key in proven,
                ours=server in ours,
                kept_by="" if account else NO_ACCOUNT,
            ),
        )


def _proven(keys: Sequence[UUID]) -> set[UUID]:
    """Return those of the runs whose newest result of a proof says that a file system, at least, came back."""
    newest: dict[UUID, bool] = {}
    results = Proof.objects.filter(state__in=(State.PASSED, State.FAILED))
    results = results.order_by("number", "ended_at")  # by what came last, whatever the clock said
    for some in _by_the_thousand(keys):
        rows = results.filter(run__in=some).values_list("run", "state", "reached")
        for run, state, reached in rows:
            newest[run] = state == State.PASSED and reached >= Level.MOUNTS
    return {run for run, good in newest.items() if good}


def _targets(
    keys: Sequence[UUID], begun: Collection[UUID]
) -> Mapping[UUID, dict[str, Consistency]]:
    """Return the usable targets of each of the runs, with what their snapshots are worth."""
    gone = RunSnapshot.objects.filter(target=OuterRef("pk"), state__in=_GONE)
    going = RunSnapshot.objects.filter(target=OuterRef("pk"), state=RunSnapshot.State.DELETING)
    lost = Exists(gone) | (Exists(going) & ~Q(run__in=begun) if begun else Exists(going))
    usable = RunTarget.objects.filter(state=RunTarget.State.USABLE).exclude(lost).order_by()
    columns = ("run", "region", "instance_id", "volume_id", "consistency")
    targets: defaultdict[UUID, dict[str, Consistency]] = defaultdict(dict)
    for some in _by_the_thousand(keys):
        for run, region, instance, volume, worth in usable.filter(run__in=some).values_list(
            *columns
        ):
            targets[run][f"{instance or volume} in {region}"] = Consistency(worth)
    return targets


def _holds(keys: Iterable[UUID]) -> list[Holding]:
    """Return the holds of the runs that were not released."""
    held = Hold.objects.filter(released_at=None)
    return [
        Holding(str(row.run_id), HoldKind(row.kind), row.reason, row.until, row.by)
        for some in _by_the_thousand(list(keys))
        for row in held.filter(run__in=some)
    ]


def _by_the_thousand(keys: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Split the keys: asked by its policies instead, a database may read all rows that there are."""
    for start in range(0, len(keys), 1_000):
        yield keys[start : start + 1_000]
