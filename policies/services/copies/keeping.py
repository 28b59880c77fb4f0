"""The copies' own retention: what the rules of a place let go is deleted in AWS, intent first.

The same plan decides as for restore points. Of each target, the last usable and the last application-consistent copy
in a place never goes, and others go only as long as AWS has these. Only a snapshot with the tags of this very copy
and of this server is deleted.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock, each, home
from policies.adapters import limits, session
from policies.domain.copies.states import CopyState
from policies.domain.errors import BackupError, NotFoundError, RefusedError
from policies.domain.retention import plan as deciding
from policies.domain.retention.points import Hold as Holding
from policies.domain.retention.points import HoldKind, Point, Verdict
from policies.domain.retention.rules import Rules
from policies.domain.runs.verdict import Consistency
from policies.models import Account, Copy, CopyRule, Hold, Policy, Run, Server
from policies.services import runs
from policies.services.copies import announcing, existence, rows
from policies.services.retention import planning
from policies.services.servers import alone, strangers
from policies.services.window import credentials

log = logging.getLogger(__name__)

_TO_DELETE = (CopyState.DELETING, CopyState.FAILED)
RULES_AT_ONCE = 50
BEGUN_AT_ONCE = 20  # restore points whose copies begin to go, of one rule in one turn
DELETED_AT_ONCE = 20
RETRY = timedelta(minutes=15)
DISABLED = "the policy is disabled and keeps everything"
NOT_WHOLE = "some of its copies are still being made"
NO_ZONE = "the policy's time zone is not known here, so nothing goes"


def tick() -> int:
    """Begin what the rules let go, and go on with what was begun; return how many copies were deleted."""
    if alone.why_kept():
        return 0
    rules = CopyRule.objects.select_related("policy__owner").order_by("?")
    asked = Q(keep_last__gt=0) | Q(keep_daily__gt=0) | Q(keep_weekly__gt=0)
    asked |= Q(keep_monthly__gt=0) | Q(keep_yearly__gt=0) | Q(keep_generations__gt=0)
    announcing.forget(CopyRule.objects.exclude(asked))
    trouble = "the copies by rule %s could not be judged"
    each.apart(list(rules.filter(asked)[:RULES_AT_ONCE]), _begin, trouble)
    return go_on()


def of_rule(rule: CopyRule) -> list[Verdict]:
    """Return what becomes of the copies in the rule's place, by their restore point, newest first."""
    return _decide(rule, rule.rules)


def edited(rule: CopyRule, wanted: Rules) -> planning.Edited:
    """Return what changed rules would do to the copies in the place."""
    went = {verdict.point.key for verdict in of_rule(rule) if not verdict.keep}
    verdicts = _decide(rule, wanted)
    going = [verdict for verdict in verdicts if not verdict.keep]
    more = tuple(verdict for verdict in going if verdict.point.key not in went)
    return planning.Edited(len(verdicts) - len(going), len(going), more)


def _decide(rule: CopyRule, kept: Rules) -> list[Verdict]:
    points, busy = _points(rule)
    kept_by = "" if rule.policy.enabled or kept.keeps_all else DISABLED
    try:
        ZoneInfo(kept.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        kept, kept_by = type(kept)(), NO_ZONE
    held = [
        Holding(str(row.run_id), HoldKind(row.kind), row.reason, row.until, row.by)
        for row in Hold.objects.filter(run__copies__rule=rule, released_at=None).distinct()
        if row.kind != HoldKind.COPY
    ]
    held += [Holding(key, HoldKind.COPY, NOT_WHOLE) for key in busy]
    return deciding.plan(points, kept, held, clock.now(), kept_by)


def _points(rule: CopyRule) -> tuple[list[Point], set[str]]:
    """Return the restore points with copies in the place, and the keys of those that are not whole yet."""
    copies: defaultdict[UUID, list[Copy]] = defaultdict(list)
    there = [CopyState.PLANNED, CopyState.ASKING, CopyState.PENDING, CopyState.COMPLETED]
    found = Copy.objects.filter(rule=rule, state__in=there).select_related("source__target")
    for copy in found.order_by():
        copies[copy.run_id].append(copy)
    known = {run.pk: run for run in Run.objects.filter(pk__in=list(copies)).order_by()}
    points, busy = [], set[str]()
    for key, ones in copies.items():
        run = known[key]
        points.append(
            Point(
                key=str(key),
                at=run.fired_at or run.created_at,
                consistency=Consistency(run.consistency),
                targets=_whole(ones),
            )
        )
        if any(copy.state != CopyState.COMPLETED for copy in ones):
            busy.add(str(key))
    return points, busy


def _whole(copies: Sequence[Copy]) -> Mapping[str, Consistency]:
    """Return the targets all of whose volumes have a completed copy here, with what their snapshots are worth."""
    made: defaultdict[int, set[str]] = defaultdict(set)
    targets = {copy.source.target_id: copy.source.target for copy in copies}
    for copy in copies:
        if copy.state == CopyState.COMPLETED:
            made[copy.source.target_id].add(copy.source.volume_id)
    return {
        f"{target} in {target.region}": Consistency(target.consistency)
        for key, target in targets.items()
        if made[key] and made[key] >= set(target.expected_volume_ids)
    }


def _begin(rule: CopyRule) -> int:
    """Announce what goes by the rule, and enter the intent to delete what was announced long enough ago.

    Nothing begins unless AWS has what stays in its place, or while a run of the policy is under way or in trouble.
    """
    if planning.waits(rule.policy):
        return 0
    announcing.announce(rule, of_rule(rule))
    gone = _going(rule)
    if not gone:
        return 0
    exist = _lasts(rule)
    if existence.missing(Copy.objects.filter(rule=rule, run__in=exist, state=CopyState.COMPLETED)):
        return 0
    return _intend(rule, gone, exist)


def _going(rule: CopyRule) -> list[UUID]:
    """Return the restore points whose copies go now, the oldest first: what dies half way leaves the newer ones."""
    waiting = announcing.not_due(rule)
    gone = [UUID(verdict.point.key) for verdict in of_rule(rule) if not verdict.keep]
    gone = [key for key in gone if key not in waiting]
    return gone[-BEGUN_AT_ONCE:][::-1]


def _lasts(rule: CopyRule) -> set[UUID]:
    points, _ = _points(rule)
    return {UUID(key) for key in deciding.lasts(points, clock.now())}


def _intend(rule: CopyRule, gone: Sequence[UUID], exist: Collection[UUID]) -> int:
    """Decide anew under the locks: a hold, or a change of the rule, comes before or after, and not between."""
    done = 0
    with transaction.atomic():
        locked = Run.objects.select_for_update(of=("self",)).filter(pk__in=gone).order_by("pk")
        by_key = {run.pk: run for run in locked}
        Policy.objects.select_for_update(of=("self",)).only("pk").get(pk=rule.policy_id)
        now_it_is = CopyRule.objects.select_related("policy__owner").filter(pk=rule.pk).first()
        if now_it_is is None or planning.waits(now_it_is.policy):
            return 0
        if not _lasts(now_it_is) <= set(exist):
            return 0
        still, now = set(_going(now_it_is)), clock.now()
        for run in (by_key[key] for key in gone if key in still and key in by_key):
            copies = list(Copy.objects.filter(run=run, rule=rule, state=CopyState.COMPLETED))
            begun = sum(rows.move(copy, CopyState.DELETING, next_at=now) for copy in copies)
            if begun:
                runs.record(run, f"its copies to {rule} go by the rules: {begun}")
            done += begun
    return done


def go_on() -> int:
    """Delete what is on its way out, also what AWS left of failed copies; return how many were deleted."""
    now = clock.now()
    due = (
        Copy.objects.filter(state__in=_TO_DELETE, next_at__lte=now)
        .exclude(snapshot_id="")
        .select_related("account__owner", "run")
        .defer("account__secret_access_key")
        .order_by("next_at", "pk")
    )
    silent = set[int | None]()
    trouble = "the copy %s could not be deleted"
    return each.apart(list(due[:DELETED_AT_ONCE]), lambda copy: _delete(copy, now, silent), trouble)


def _delete(copy: Copy, now: datetime, silent: set[int | None]) -> bool:
    if copy.account_id in silent:
        return False
    try:
        return _delete_in_aws(copy.account, copy)
    except NotFoundError:
        return _deleted(copy, "")
    except BackupError as error:
        log.warning("the copy %s (%s) could not be deleted: %s", copy.pk, copy, error)
        silent.add(copy.account_id)
        later = Copy.objects.filter(pk=copy.pk, state=copy.state)
        later.update(next_at=now + RETRY, message=str(error))
        return False


def _delete_in_aws(account: Account | None, copy: Copy) -> bool:
    if account is None:
        message = f"The account of the copy {copy} was deleted: delete it in AWS's console."
        raise RefusedError(message)
    credentials.refuse_withdrawn(account)
    known = credentials.of(account)
    found = session.cloud(known).describe(copy.region, [copy.snapshot_id]).get(copy.snapshot_id)
    if found is None:
        return _deleted(copy, "")
    servers = {home.server_id(), *Server.objects.values_list("pk", flat=True)}
    is_ours = found.tags.get(limits.SERVER_TAG) in servers
    if not is_ours or found.tags.get(limits.COPY_TAG) != str(copy.pk):
        message = f"The snapshot {copy} does not bear the tags of this copy and server, so it stays: look at it in AWS."
        raise RefusedError(message)
    removing = session.removing(known)
    strangers.refuse(account, copy.region, removing)
    removing.delete(copy.region, copy.snapshot_id)
    return _deleted(copy, "")


def _deleted(copy: Copy, message: str) -> bool:
    if copy.state == CopyState.FAILED:
        left = Copy.objects.filter(pk=copy.pk, state=CopyState.FAILED)
        return bool(left.update(snapshot_id="", next_at=None))
    return rows.move(copy, CopyState.DELETED, deleted_at=clock.now(), next_at=None, message=message)
