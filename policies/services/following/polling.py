"""Following the snapshots until each is completed or failed: one call for many runs, and no worker slot used."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import starmap
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from n2wbackup.lib import clock, compiled, each, home, outages
from n2wbackup.lib.literal import Literal
from policies.adapters import session
from policies.domain.document.fields import DEFAULTS
from policies.domain.errors import BackupError
from policies.domain.runs.verdict import Consistency
from policies.models import Account, Run, RunSnapshot, RunTarget
from policies.ports import Snapshot
from policies.services import runs
from policies.services.following import settling
from policies.services.window import credentials, defects, entering

log = logging.getLogger(__name__)

BATCH = 200
ABSENT_POLLS = 3
ABSENT_FOR = timedelta(minutes=5)
LOST_ANSWER = timedelta(
    minutes=5
)  # reads are eventually consistent; after this, nothing was created
# Young snapshots are checked in each poll, older ones less often: (age from, every n-th poll).
SLOWER = ((timedelta(minutes=10), 12), (timedelta(minutes=2), 3))
_HOURS_WITHOUT_POLICY = DEFAULTS["snapshot_timeout_hours"]  # where the policy is deleted meanwhile
_QUOTED_CHARACTERS = 300
# Of each pending snapshot, in each poll, in the order of `Pending`: thousands may be pending.
_OF_A_POLL = (
    *("pk", "snapshot_id", "state", "progress", "message", "created_at"),
    *("absent_since", "absent_polls", "target__run", "target__run__account", "target__region"),
    "target__run__policy__snapshot_timeout_hours",
)
_FAILED = frozenset({"error", "recoverable"})
# In the words of the indexes that have only these.
_PENDING = Literal(RunSnapshot.State.PENDING)
_UNKNOWN = Literal(RunTarget.State.UNKNOWN)


@dataclass(slots=True)
class Pending:
    """A pending snapshot, as far as a poll reads and changes it; `hours` is None where the policy is deleted."""

    pk: int
    snapshot_id: str
    state: str
    progress: int
    message: str
    created_at: datetime
    absent_since: datetime | None
    absent_polls: int
    run_id: UUID
    account: int | None
    region: str
    hours: int | None


def poll(round_number: int = 0) -> None:
    """Check every pending snapshot that is due in this round, and settle the runs that are done."""
    now = clock.now()
    settle_lost_answers(now)
    groups: dict[tuple[int | None, str], list[Pending]] = defaultdict(list)
    for snapshot in starmap(Pending, _pending()):
        if _is_due(snapshot, now, round_number):
            groups[snapshot.account, snapshot.region].append(snapshot)
    keys = {key for key, _ in groups if key is not None}
    accounts = credentials.accounts(keys)
    for (key, region), ones in groups.items():
        account = accounts.get(key or 0)
        try:
            _poll_group(account, region, ones, now)
        except Exception:
            log.exception("the snapshots of %s in %s could not be followed", account, region)
    settling.settle_decided()


@compiled.Reading
def _pending() -> QuerySet[RunSnapshot, tuple[Any, ...]]:
    # In the order of the keys, SQLite reads all snapshots.
    return RunSnapshot.objects.filter(state=_PENDING).order_by().values_list(*_OF_A_POLL)


def _is_due(snapshot: Pending, now: datetime, round_number: int) -> bool:
    age = now - snapshot.created_at
    every = next((n for since, n in SLOWER if age >= since), 1)
    return round_number % every == 0


def _poll_group(
    account: Account | None, region: str, ones: Sequence[Pending], now: datetime
) -> None:
    for start in range(0, len(ones), BATCH):
        _poll_batch(account, region, ones[start : start + BATCH], now)


def _poll_batch(
    account: Account | None, region: str, batch: Sequence[Pending], now: datetime
) -> None:
    """Ask AWS and enter its answer. If that fails by an error of ours, ask for each run alone: it may be one run's."""
    try:
        _enter(batch, _described(account, region, batch), now)
    except outages.AWAY:
        raise
    except Exception as error:
        log.exception("%s snapshots in %s could not be followed", len(batch), region)
        of_run: dict[UUID, list[Pending]] = defaultdict(list)
        for one in batch:
            of_run[one.run_id].append(one)
        if len(of_run) == 1:
            _enter_as_absent(batch, error, now)
            return
        for ones in of_run.values():
            _poll_batch(account, region, ones, now)


def _enter_as_absent(batch: Sequence[Pending], error: Exception, now: datetime) -> None:
    """Count a poll of one run that failed by an error of ours; after some of them its snapshots have failed."""
    why = f"the server could not follow it ({outages.named(error)}): look at the server's log"
    try:
        _enter(batch, {}, now, problem=why)
    except outages.AWAY:
        raise
    except Exception as again:  # noqa: BLE001 - a run always ends
        defects.end(batch[0].run_id, again, "followed")


def _described(
    account: Account | None, region: str, batch: Sequence[Pending]
) -> Mapping[str, Snapshot] | None:
    """Return AWS's answer; None if there is none."""
    if account is None:
        return None
    try:
        cloud = session.cloud(credentials.of(account))
        return cloud.describe(region, [one.snapshot_id for one in batch])
    except BackupError as error:
        log.warning("snapshots in %s could not be polled: %s", region, error)
        return None


def _enter(
    batch: Sequence[Pending],
    found: Mapping[str, Snapshot] | None,
    now: datetime,
    *,
    problem: str = "",
) -> None:
    """Enter the results of a poll, equal changes together; `found` is None if AWS did not answer.

    `problem` says why our own error kept the answer away: it counts like an absent snapshot.
    """
    changed: dict[tuple[_Seen, _Seen], list[int]] = defaultdict(list)
    for one in batch:
        before = _seen(one)
        _look(one, found.get(one.snapshot_id) if found is not None else one, now, problem)
        if _seen(one) != before:
            changed[before, _seen(one)].append(one.pk)
    with transaction.atomic():
        for (before, after), keys in changed.items():
            # A slower poll must not undo the results of a faster one.
            same = RunSnapshot.objects.filter(pk__in=keys, **before._asdict())
            same.update(**after._asdict())


class _Seen(NamedTuple):
    """The columns of a snapshot that a poll may change."""

    state: str
    progress: int
    absent_polls: int
    absent_since: datetime | None
    message: str


def _seen(one: Pending) -> _Seen:
    return _Seen(one.state, one.progress, one.absent_polls, one.absent_since, one.message)


def _look(one: Pending, found: Snapshot | Pending | None, now: datetime, problem: str = "") -> None:
    """Change the snapshot according to AWS's answer; `found` is the snapshot itself if there was no answer."""
    states = RunSnapshot.State
    limit = timedelta(hours=_HOURS_WITHOUT_POLICY if one.hours is None else one.hours)
    if isinstance(found, Snapshot):
        one.progress = min(100, max(0, found.progress))
        one.absent_polls, one.absent_since = 0, None
        one.message = f'AWS says "{_one_line(found.message)}"' if found.message else ""
        if found.state == "completed":
            one.state, one.progress = states.COMPLETED, 100
        elif found.state in _FAILED:
            one.state = states.ERROR
    elif found is None:
        one.absent_polls += 1
        if one.absent_since is None or one.absent_since > now + clock.SKEW:
            one.absent_since = now  # a time in the future is from before the clock was set back
        if one.absent_polls >= ABSENT_POLLS and now - one.absent_since >= ABSENT_FOR:
            one.state = states.ERROR if problem else states.MISSING
            one.message = problem
    if one.state == states.PENDING and now - one.created_at >= limit:
        one.state = states.TIMED_OUT


def settle_lost_answers(now: datetime) -> None:
    """Look for the snapshots of calls whose answer was lost, by tag; never repeat the call.

    Where AWS does not answer, an account's next target is looked for in the next turn: each call may wait for a
    timeout, and other owners' runs wait behind it.
    """
    trouble = "the lost answer of %s could not be looked for"
    silent = set[tuple[int, str]]()
    each.apart(_unknown(), lambda target: _look_for_answer(target, now, silent), trouble)


@compiled.Reading
def _unknown() -> QuerySet[RunTarget]:
    # In the order of the keys, SQLite reads all targets.
    rows = RunTarget.objects.filter(state=_UNKNOWN).order_by("?")
    rows = rows.select_related("run__account", "run__policy")
    return rows.defer("run__account__secret_access_key")


def _look_for_answer(target: RunTarget, now: datetime, silent: set[tuple[int, str]]) -> None:
    run = target.run
    if run.account is None or (run.account.pk, target.region) in silent:
        _give_lost_answer_up(target, now)
        return
    try:
        cloud = session.cloud(credentials.of(run.account))
        found = cloud.of_run(target.region, run.server or home.server_id(), str(run.pk))
        _settle_one(target, found, now)
    except BackupError as error:
        log.warning("the lost answer of run %s is still open: %s", run.pk, error)
        silent.add((run.account.pk, target.region))
        _give_lost_answer_up(target, now)
    except outages.AWAY:
        raise
    except Exception as error:
        log.exception("the lost answer of run %s could not be looked for", run.pk)
        if now - _asked_at(run, now) >= LOST_ANSWER:
            why = f"The snapshots could not be looked for ({outages.named(error)}): look at the server's log."
            _refuse(target, f"{target.reason} {why}")


def _refuse(target: RunTarget, reason: str) -> None:
    rows = RunTarget.objects.filter(pk=target.pk, state=RunTarget.State.UNKNOWN)
    rows.update(state=RunTarget.State.REFUSED, reason=reason)


def _give_lost_answer_up(target: RunTarget, now: datetime) -> None:
    """Stop the search once the snapshot timeout has passed."""
    run = target.run
    limit = timedelta(
        hours=run.policy.snapshot_timeout_hours if run.policy else _HOURS_WITHOUT_POLICY
    )
    if now - run.created_at >= limit:
        _refuse(target, f"{target.reason} AWS could not be reached before the snapshot timeout.")


@transaction.atomic
def _settle_one(target: RunTarget, found: Sequence[Snapshot], now: datetime) -> None:
    own = [s for s in found if s.volume_id in target.expected_volume_ids]
    since = _asked_at(target.run, now)
    waited = now - since >= LOST_ANSWER
    whole = {s.volume_id for s in own} == set(target.expected_volume_ids)
    if not own and waited:
        target.state = RunTarget.State.REFUSED
        target.reason = "No answer of AWS to the call is known, and no snapshot has the run's tag: none was created."
    elif whole or (own and waited):
        target.state = RunTarget.State.FIRED
        target.consistency = Consistency.CRASH
        target.reason = (
            "The answer to the call was lost, but the snapshots were found by their tag: they may have been made after "
            "the thaw."
        )
    else:
        return
    target.save(update_fields=["state", "reason", "consistency"])
    entering.adopt(target, own)
    runs.record(target.run, f"{target}: {len(own)} snapshots found by tag")
    Run.objects.filter(pk=target.run_id).update(tags_due=True)


def _asked_at(run: Run, now: datetime) -> datetime:
    """Return when the run's calls were made; if the clock was set back since, store and return now."""
    since = run.ordered_at or run.created_at
    if since <= now + clock.SKEW:
        return since
    Run.objects.filter(pk=run.pk).update(ordered_at=now)
    return now


def _one_line(message: str) -> str:
    words = " ".join(message.split()).rstrip(".")
    return words if len(words) <= _QUOTED_CHARACTERS else f"{words[: _QUOTED_CHARACTERS - 3]}..."
