"""Following the snapshots: many runs to one call, no worker slot held, until each is completed or failed."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from n2wbackup.lib import clock, each, home
from policies.adapters import session
from policies.domain.document.fields import DEFAULTS
from policies.domain.errors import BackupError
from policies.domain.runs.sequence import Event, State
from policies.domain.runs.verdict import Consistency
from policies.models import Account, Run, RunSnapshot, RunTarget
from policies.ports import Snapshot
from policies.services import runs
from policies.services.window import credentials, entering

log = logging.getLogger(__name__)

BATCH = 200
ABSENT_POLLS = 3
ABSENT_FOR = timedelta(minutes=5)
LOST_ANSWER = timedelta(minutes=5)  # reads are eventually consistent; past this nothing was made
# Young snapshots are looked at in each poll, older ones less often: (age from, every n-th poll).
SLOWER = ((timedelta(minutes=10), 12), (timedelta(minutes=2), 3))
_HOURS_WITHOUT_POLICY = DEFAULTS["snapshot_timeout_hours"]  # where the policy is deleted meanwhile
_FAILED = frozenset({"error", "recoverable"})


def poll(round_number: int = 0) -> None:
    """Look at every pending snapshot that is due in this round, and settle the runs that are done."""
    now = clock.now()
    settle_lost_answers(now)
    pending = (
        RunSnapshot.objects.filter(state=RunSnapshot.State.PENDING)
        .select_related("target__run__account", "target__run__policy")
        .defer("target__run__account__secret_access_key")
    )
    groups: dict[tuple[Account, str], list[RunSnapshot]] = defaultdict(list)
    for snapshot in pending:
        run = snapshot.target.run
        if run.account is not None and _is_due(snapshot, now, round_number):
            groups[run.account, snapshot.target.region].append(snapshot)
    for (account, region), ones in groups.items():
        try:
            _poll_group(account, region, ones, now)
        except Exception:
            log.exception("the snapshots of %s in %s could not be followed", account, region)
    each.apart(_decided(), settle, "run %s could not be settled")


def _decided() -> QuerySet[Run]:
    """Return the waiting runs that have nothing to wait for, in one query: thousands may wait."""
    still_open = _open_targets(RunTarget.objects.filter(run=OuterRef("pk")))
    nothing_left = ~Exists(still_open) | Q(cancel_requested_at__isnull=False)
    return Run.objects.filter(nothing_left, state=State.WAITING)


def _open_targets(targets: QuerySet[RunTarget]) -> QuerySet[RunTarget]:
    return targets.filter(
        Q(state=RunTarget.State.UNKNOWN) | Q(snapshots__state=RunSnapshot.State.PENDING)
    )


def _is_due(snapshot: RunSnapshot, now: datetime, round_number: int) -> bool:
    age = now - snapshot.created_at
    every = next((n for since, n in SLOWER if age >= since), 1)
    return round_number % every == 0


def _poll_group(account: Account, region: str, ones: Sequence[RunSnapshot], now: datetime) -> None:
    for start in range(0, len(ones), BATCH):
        batch = ones[start : start + BATCH]
        try:
            cloud = session.cloud(credentials.of(account))
            found = cloud.describe(region, [one.snapshot_id for one in batch])
        except BackupError as error:
            log.warning("snapshots in %s could not be polled: %s", region, error)
            found = None
        _enter(batch, found, now)


def _enter(
    batch: Sequence[RunSnapshot], found: Mapping[str, Snapshot] | None, now: datetime
) -> None:
    """Enter what a poll saw, like changes together; `found` None means that nothing was seen."""
    changed: dict[tuple[_Seen, _Seen], list[int]] = defaultdict(list)
    for one in batch:
        before = _seen(one)
        _look(one, found.get(one.snapshot_id) if found is not None else one, now)
        if _seen(one) != before:
            changed[before, _seen(one)].append(one.pk)
    with transaction.atomic():
        for (before, after), keys in changed.items():
            # A slower poll must not undo what a faster one has entered.
            same = RunSnapshot.objects.filter(pk__in=keys, **before._asdict())
            same.update(**after._asdict())


class _Seen(NamedTuple):
    """The columns of a snapshot that a poll may change."""

    state: str
    progress: int
    absent_polls: int
    absent_since: datetime | None


def _seen(one: RunSnapshot) -> _Seen:
    return _Seen(one.state, one.progress, one.absent_polls, one.absent_since)


def _look(one: RunSnapshot, found: Snapshot | RunSnapshot | None, now: datetime) -> None:
    """Change the snapshot as AWS's answer says; a RunSnapshot in its place means that nothing was seen."""
    states = RunSnapshot.State
    policy = one.target.run.policy
    limit = timedelta(hours=policy.snapshot_timeout_hours if policy else _HOURS_WITHOUT_POLICY)
    if isinstance(found, Snapshot):
        one.progress, one.absent_polls, one.absent_since = found.progress, 0, None
        if found.state == "completed":
            one.state, one.progress = states.COMPLETED, 100
        elif found.state in _FAILED:
            one.state = states.ERROR
    elif found is None:
        one.absent_polls += 1
        if one.absent_since is None or one.absent_since > now + clock.SKEW:
            one.absent_since = now  # or it was a clock that has been put back since
        if one.absent_polls >= ABSENT_POLLS and now - one.absent_since >= ABSENT_FOR:
            one.state = states.MISSING
    if one.state == states.PENDING and now - one.created_at >= limit:
        one.state = states.TIMED_OUT


def settle_lost_answers(now: datetime) -> None:
    """Look for the snapshots of calls whose answer was lost, by tag; never by asking twice."""
    unknown = (
        RunTarget.objects.filter(state=RunTarget.State.UNKNOWN)
        .select_related("run__account", "run__policy")
        .defer("run__account__secret_access_key")
    )
    trouble = "the lost answer of %s could not be looked for"
    each.apart(list(unknown), lambda target: _look_for_answer(target, now), trouble)


def _look_for_answer(target: RunTarget, now: datetime) -> None:
    run = target.run
    if run.account is None:
        return
    try:
        cloud = session.cloud(credentials.of(run.account))
        found = cloud.of_run(target.region, home.server_id(), str(run.pk))
    except BackupError as error:
        log.warning("the lost answer of run %s is still open: %s", run.pk, error)
        _give_lost_answer_up(target, now)
        return
    _settle_one(target, found, now)


def _give_lost_answer_up(target: RunTarget, now: datetime) -> None:
    """Stop looking when snapshots themselves would have timed out."""
    run = target.run
    limit = timedelta(
        hours=run.policy.snapshot_timeout_hours if run.policy else _HOURS_WITHOUT_POLICY
    )
    if now - run.created_at >= limit:
        target.state = RunTarget.State.REFUSED
        target.reason = f"{target.reason} AWS could not be asked for it until the time was over."
        target.save(update_fields=["state", "reason"])


@transaction.atomic
def _settle_one(target: RunTarget, found: Sequence[Snapshot], now: datetime) -> None:
    own = [s for s in found if s.volume_id in target.expected_volume_ids]
    since = _asked_at(target.run, now)
    waited = now - since >= LOST_ANSWER
    whole = {s.volume_id for s in own} == set(target.expected_volume_ids)
    if not own and waited:
        target.state = RunTarget.State.REFUSED
        target.reason = f"{target.reason} No snapshot of it bears the run's tag: none was made."
    elif whole or (own and waited):
        target.state = RunTarget.State.FIRED
        target.consistency = Consistency.CRASH
        target.reason = f"{target.reason} The snapshots were found by their tag."
    else:
        return
    target.save(update_fields=["state", "reason", "consistency"])
    entering.adopt(target, own)
    runs.record(target.run, f"{target}: {len(own)} snapshots found by tag")
    Run.objects.filter(pk=target.run_id).update(tags_due=True)


def _asked_at(run: Run, now: datetime) -> datetime:
    """Return when the run's calls were made; now, and from now on, where the clock has been put back since."""
    since = run.ordered_at or run.created_at
    if since <= now + clock.SKEW:
        return since
    Run.objects.filter(pk=run.pk).update(ordered_at=now)
    return now


def settle(run: Run) -> bool:
    """Send a waiting run to complete when every target is decided; True if it went."""
    if run.cancel_requested_at is None and _open_targets(run.targets.all()).exists():
        return False
    for target in run.targets.filter(state=RunTarget.State.FIRED).prefetch_related("snapshots"):
        _decide(target)
    cancelled = run.cancel_requested_at is not None
    text = (
        "cancelled: snapshots are not waited for"
        if cancelled
        else "every snapshot is completed or failed"
    )
    return runs.apply(run, Event.SETTLED, text, dispatched_at=clock.now())


def _decide(target: RunTarget) -> None:
    states = RunSnapshot.State
    bad = [s for s in target.snapshots.all() if s.state != states.COMPLETED]
    made = {s.volume_id for s in target.snapshots.all()}
    whole = not bad and made == set(target.expected_volume_ids)
    target.state = RunTarget.State.USABLE if whole else RunTarget.State.FAILED
    if bad and not target.reason:
        listed = ", ".join(f"{s.snapshot_id} ({s.state})" for s in bad)
        target.reason = f"Not every snapshot was completed: {listed}."
    target.save(update_fields=["state", "reason"])
