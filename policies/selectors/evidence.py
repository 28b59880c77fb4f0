"""What an auditor asks for: the restore points, proofs and recoveries of a time, in one list.

A restore point is a promise, a proof is a test of one, and a recovery is one that was used. Each row says what, when,
who, at which level, how long it took and how it ended.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

from django.db.models import QuerySet

from policies.domain.runs.verdict import Consistency
from policies.models import Proof, Recovery, Run
from policies.selectors import sources
from scripts_admin import permissions
from scripts_admin.models import User

READ_TOGETHER = 500
_OF_RUN = (
    "owner_name",
    "policy_name",
    "created_at",
    "consistency",
    "state",
    "requested_by",
    "trigger",
    "reason",
)
POINT, PROOF, RECOVERY = "restore point", "proof", "recovery"
SUCCEEDED = frozenset({"passed", "done", "initializing"})


class Asked(NamedTuple):
    """Days in UTC, both included; `owner` and `policy` as they were called, "" for all."""

    since: date
    until: date
    owner: str = ""
    policy: str = ""

    @property
    def span(self) -> tuple[datetime, datetime]:
        begin = datetime.combine(self.since, time(), UTC)
        return begin, datetime.combine(self.until, time(), UTC) + timedelta(days=1)


class Row(NamedTuple):
    """One line of the report; the order is that of the CSV's columns."""

    at: datetime
    kind: str
    policy: str  # "owner/name", as they were called then
    what: str
    level: str
    result: str
    seconds: float | None
    by: str
    reason: str
    run: str


class Summary(NamedTuple):
    """The report in numbers; times are those of recoveries and proofs that ended well."""

    points: int
    application: int
    proofs: int
    passed: int
    recoveries: int
    recovered: int
    median_seconds: float | None
    longest_seconds: float | None


def rows(user: User, asked: Asked, most: int | None = None) -> Iterator[Row]:
    """Yield the lines that the user may see, the newest first, without keeping them.

    `most`: no more are needed, so that the database reads no more.
    """
    return heapq.merge(
        *(source(user, asked, most) for source in (_points, _proofs, _recoveries)),
        key=lambda row: row.at,
        reverse=True,
    )


def newest(user: User, asked: Asked, most: int) -> tuple[list[Row], bool]:
    """Return the newest lines, and whether there are more."""
    found = list(islice(rows(user, asked, most + 1), most + 1))
    return found[:most], len(found) > most


def summary(lines: Iterable[Row]) -> Summary:
    """Return the numbers of the lines."""
    counted: dict[str, list[Row]] = {POINT: [], PROOF: [], RECOVERY: []}
    for line in lines:
        counted[line.kind].append(line)
    passed = [line for line in counted[PROOF] if line.result in SUCCEEDED]
    recovered = [line for line in counted[RECOVERY] if line.result in SUCCEEDED]
    times = [line.seconds for line in (*passed, *recovered) if line.seconds is not None]
    return Summary(
        points=len(counted[POINT]),
        application=sum(line.level == Consistency.APPLICATION for line in counted[POINT]),
        proofs=len(counted[PROOF]),
        passed=len(passed),
        recoveries=len(counted[RECOVERY]),
        recovered=len(recovered),
        median_seconds=median(times) if times else None,
        longest_seconds=max(times, default=None),
    )


def _points(user: User, asked: Asked, most: int | None) -> Iterator[Row]:
    begin, end = asked.span
    found = permissions.visible(Run.objects.all(), user).filter(
        restore_point=True, created_at__gte=begin, created_at__lt=end
    )
    named = _named(found, asked).order_by("-created_at").only(*_OF_RUN)
    return map(_of_run, _read(named, most))


def _proofs(user: User, asked: Asked, most: int | None) -> Iterator[Row]:
    found = _between(permissions.visible(Proof.objects.all(), user), asked, "run__")
    return map(of_proof, _read(found.select_related("run"), most))


def _recoveries(user: User, asked: Asked, most: int | None) -> Iterator[Row]:
    found = _between(permissions.visible(Recovery.objects.all(), user), asked)
    return map(of_recovery, _read(found, most))


def _read(found: QuerySet[Any], most: int | None) -> Iterator[Any]:
    return iter(found[:most]) if most else found.iterator(chunk_size=READ_TOGETHER)


def _between(found: QuerySet[Any], asked: Asked, through: str = "") -> QuerySet[Any]:
    begin, end = asked.span
    named = _named(found, asked, through)
    return named.filter(asked_at__gte=begin, asked_at__lt=end).order_by("-asked_at")


def _named(found: QuerySet[Any], asked: Asked, through: str = "") -> QuerySet[Any]:
    wanted = {}
    if asked.owner:
        wanted[f"{through}owner_name"] = asked.owner
    if asked.policy:
        wanted[f"{through}policy_name"] = asked.policy
    return found.filter(**wanted)


def _of_run(run: Run) -> Row:
    return Row(
        at=run.created_at,
        kind=POINT,
        policy=run.label,
        what="backup",
        level=run.consistency,
        result=run.state,
        seconds=None,
        by=run.requested_by or run.trigger,
        reason=run.reason,
        run=str(run.pk),
    )


def of_proof(proof: Proof) -> Row:
    """Return a proof as a line: the level that it reached, of the one that was asked for."""
    reached = "none" if proof.reached < 0 else str(proof.reached)
    return Row(
        at=proof.asked_at,
        kind=PROOF,
        policy=proof.run.label,
        what=f"{proof.snapshot_id or 'snapshot'} in {proof.region}{_of(proof.place)}",
        level=f"{reached} of {proof.level}",
        result=proof.state,
        seconds=proof.seconds,
        by=proof.requested_by or "schedule",
        reason=proof.reason,
        run=str(proof.run_id),
    )


def _of(place: str) -> str:
    return f" ({sources.in_words(place)})" if place else ""


def of_recovery(recovery: Recovery) -> Row:
    """Return a recovery as a line. Its time is the measured one: until what was made could be used."""
    usable = recovery.made_at
    return Row(
        at=recovery.asked_at,
        kind=RECOVERY,
        policy=f"{recovery.owner_name}/{recovery.policy_name}",
        what=f"{recovery.subject} in {recovery.region}{_of(recovery.source)}",
        level=recovery.kind,
        result=recovery.state,
        seconds=(usable - recovery.asked_at).total_seconds() if usable else None,
        by=recovery.requested_by,
        reason=recovery.reason,
        run=str(recovery.run_id_copied),
    )


COLUMNS: Sequence[str] = Row._fields
