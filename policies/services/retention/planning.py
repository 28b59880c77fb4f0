"""What the rules of a policy keep and let go, from the rows as they are now. Nothing is written or deleted here."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Exists, OuterRef, Q, QuerySet

from n2wbackup.lib import clock, home
from policies.domain.retention import plan as deciding
from policies.domain.retention.points import Hold as Holding
from policies.domain.retention.points import HoldKind, Point, Verdict
from policies.domain.retention.rules import Rules
from policies.domain.runs.verdict import Consistency
from policies.models import Hold, Policy, Run, RunSnapshot, RunTarget, Server

# A page looks at so many restore points at most; more of them are decided about on the policy's own page.
MANY = 2_000
DELETED = "its policy was deleted, so no rule lets it go"
DISABLED = "the policy is disabled and keeps everything"
FROZEN = "nothing goes while the policy's application may be frozen"
UNDER_WAY = "nothing goes while a run of the policy is under way"
NO_ZONE = "the policy's time zone {} is not known here, so nothing goes"


class Edited(NamedTuple):
    """What a change of a policy's rules would do to its restore points."""

    kept: int
    gone: int
    more: tuple[Verdict, ...]  # what would go and stayed before, newest first


def of_policy(policy: Policy) -> list[Verdict]:
    """Return what becomes of each restore point of the policy, newest first."""
    runs = _points_of(policy)
    held = _holds(Q(run__in=runs))
    return _decide(policy, _points(runs).get(policy.pk, ()), held, _kept_by(policy))


def of_runs(found: Iterable[Run], most: int = MANY) -> Mapping[UUID, Verdict]:
    """Return what becomes of those of the runs that are restore points, with their policies read along.

    What is missing has a policy with so many restore points that deciding about them would take too long for a page.
    """
    points = [run for run in found if run.restore_point and run.ended_at is not None]
    held = _holds(Q(run__in=[run.pk for run in points]))
    by_rules = {run.policy for run in points if run.policy and not run.policy.rules.keeps_all}
    decided: dict[UUID, Verdict] = {}
    for policy in sorted(by_rules, key=lambda each: each.pk):
        some = list(
            _points_of(policy).order_by("-created_at").values_list("pk", flat=True)[: most + 1]
        )
        most -= len(some)
        if most < 0:
            break
        runs = Run.objects.filter(pk__in=some)
        verdicts = _decide(policy, _points(runs).get(policy.pk, ()), held, _kept_by(policy))
        decided |= {UUID(verdict.point.key): verdict for verdict in verdicts}
    return decided | _without_rules(points, held)


def of_run(run: Run) -> Verdict | None:
    """Return what becomes of the run; None if it is no restore point, or if there are too many to decide here."""
    return of_runs([run]).get(run.pk)


def edited(before: Policy, after: Policy) -> Edited:
    """Return what the change does, as if nothing were under way."""
    runs = _points_of(before)
    points, held = _points(runs).get(before.pk, ()), _holds(Q(run__in=runs))
    went = {v.point.key for v in _decide(before, points, held, _disabled(before)) if not v.keep}
    verdicts = _decide(after, points, held, _disabled(after))
    going = [verdict for verdict in verdicts if not verdict.keep]
    return Edited(
        kept=len(verdicts) - len(going),
        gone=len(going),
        more=tuple(verdict for verdict in going if verdict.point.key not in went),
    )


def _without_rules(points: Iterable[Run], held: Sequence[Holding]) -> Mapping[UUID, Verdict]:
    """Decide about what no rule lets go, without looking at the policy's other restore points."""
    free = [run for run in points if run.policy is None or run.policy.rules.keeps_all]
    made = _points(Run.objects.filter(pk__in=[run.pk for run in free])) if free else {}
    decided: dict[UUID, Verdict] = {}
    for key, found in made.items():
        kept_by = "" if key else DELETED
        for verdict in deciding.plan(found, Rules(), held, clock.now(), kept_by):
            reasons = [each for each in verdict.reasons if key or each != deciding.KEEPS_ALL]
            decided[UUID(verdict.point.key)] = verdict._replace(reasons=tuple(reasons))
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


def _disabled(policy: Policy) -> str:
    return "" if policy.enabled or policy.rules.keeps_all else DISABLED


def _kept_by(policy: Policy) -> str:
    """Return why the policy keeps everything now, whatever its rules; "" if nothing is like that."""
    if policy.rules.keeps_all or not policy.enabled:
        return _disabled(policy)
    if policy.may_be_frozen_since is not None:
        return FROZEN
    return UNDER_WAY if Run.objects.unfinished().filter(policy=policy).exists() else ""


def _points_of(policy: Policy) -> QuerySet[Run]:
    return Run.objects.filter(policy=policy, restore_point=True, ended_at__isnull=False).order_by()


def _points(runs: QuerySet[Run]) -> Mapping[int, list[Point]]:
    """Return the restore points by the key of their policy; 0: it was deleted."""
    ours = {"", home.server_id(), *Server.objects.values_list("pk", flat=True)}
    gone = RunSnapshot.objects.filter(target=OuterRef("pk"), state=RunSnapshot.State.GONE)
    usable = RunTarget.objects.filter(run__in=runs.values("pk"), state=RunTarget.State.USABLE)
    rows = usable.exclude(Exists(gone)).order_by()
    targets: defaultdict[UUID, dict[str, Consistency]] = defaultdict(dict)
    columns = ("run", "region", "instance_id", "volume_id", "consistency")
    for run, region, instance, volume, worth in rows.values_list(*columns):
        targets[run][f"{instance or volume} in {region}"] = Consistency(worth)
    found: defaultdict[int, list[Point]] = defaultdict(list)
    of_run = ("pk", "policy", "fired_at", "created_at", "consistency", "server")
    for key, policy, fired, created, worth, server in runs.values_list(*of_run):
        point = Point(
            key=str(key),
            at=fired or created,
            consistency=Consistency(worth),
            targets=targets.get(key, {}),
            ours=server in ours,
        )
        found[policy or 0].append(point)
    return found


def _holds(of: Q) -> list[Holding]:
    rows = Hold.objects.filter(of, released_at=None)
    return [
        Holding(str(row.run_id), HoldKind(row.kind), row.reason, row.until, row.by) for row in rows
    ]
