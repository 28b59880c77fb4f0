"""AWS compared with the rows: a snapshot with our tag but no row is adopted into its run, or listed.

Ours is the tag of this server and of each other server that has worked on this database. This reads in AWS
and writes to the rows only. It asks AWS for no snapshot without the UUID of one of these servers.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction

from n2wbackup.lib import home, keyset
from n2wbackup.lib.portions import portions
from policies.adapters import session
from policies.adapters.limits import COPY_TAG, RUN_TAG
from policies.domain.errors import BackupError
from policies.domain.runs import sequence, verdict
from policies.models import Account, Copy, PolicyTarget, Run, RunSnapshot, RunTarget, Server
from policies.ports import Snapshot
from policies.selectors.worth import facts
from policies.services import runs
from policies.services.following import refreshing
from policies.services.window import credentials, permits

log = logging.getLogger(__name__)

_TOGETHER = 500  # runs or snapshots that one query names


class FindingKind(StrEnum):
    """The kinds of differences between AWS and the rows."""

    ADOPTED = "adopted"  # entered into the run that created it
    STRAY = "stray"  # it has this server's tag, but the rows have no such run or target
    GONE = "gone"  # completed in a row, but no longer in AWS


@dataclass(frozen=True, slots=True)
class Finding:
    """One snapshot on which AWS and the rows differed."""

    kind: FindingKind
    snapshot_id: str
    region: str
    account: str
    run: str
    text: str


@dataclass(slots=True)
class Reconciliation:
    """The findings, and the problems of reading AWS; `seen` counts the snapshots with this server's tag."""

    seen: int = 0
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    account: Account
    region: str

    @property
    def label(self) -> str:
        return f"{self.account.owner.username}/{self.account.name}"


def reconcile() -> Reconciliation:
    """Read every account in every region that its policies or runs name; adopt and list.

    Leaves unfinished runs to the polls. A second call changes nothing.
    """
    report, seen, found_of = Reconciliation(), set[str](), dict[str, Finding]()
    servers = _servers()
    for place in _places():
        try:
            cloud = session.cloud(credentials.of(place.account))
            found = [one for server in servers for one in cloud.of_server(place.region, server)]
        except BackupError as error:
            report.problems.append(f"{place.label} in {place.region}: {error}")
            continue
        here = {snapshot.snapshot_id for snapshot in found}
        seen |= here
        # Two accounts here may lead to one AWS account: a snapshot that one adopts is no stray of the other.
        for finding in (*_strays(place, found), *_gone(place, here)):
            if finding.kind == FindingKind.ADOPTED or finding.snapshot_id not in found_of:
                found_of[finding.snapshot_id] = finding
    report.findings, report.seen = list(found_of.values()), len(seen)
    refreshing.enter(seen, [f.snapshot_id for f in report.findings if f.kind == FindingKind.GONE])
    _tell(report)
    return report


def _servers() -> list[str]:
    """Return every server that has worked on this database: what another one made is neither stray nor gone."""
    return sorted({home.server_id(), *Server.objects.values_list("pk", flat=True)})


def _places() -> Iterator[_Place]:
    """Yield each account with each region in which it may have snapshots."""
    targets = PolicyTarget.objects.order_by().values_list("policy__account", "region").distinct()
    planned, fired = _by_key(targets), _by_key(permits.places())
    for account in Account.objects.select_related("owner").order_by("pk"):
        regions = {account.region, *planned[account.pk]}
        # Before the first call, the AWS account may not have been known.
        for bucket in {credentials.bucket(account, ""), credentials.row_bucket(account)}:
            regions |= fired[bucket]
        yield from (_Place(account, region) for region in sorted(r for r in regions if r))


def _by_key(pairs: Iterable[tuple[Any, str]]) -> Mapping[Any, set[str]]:
    found: defaultdict[Any, set[str]] = defaultdict(set)
    for key, region in pairs:
        found[key].add(region)
    return found


def _known(found: list[Snapshot]) -> set[str]:
    ids = [snapshot.snapshot_id for snapshot in found]
    known = set[str]()
    for start in range(0, len(ids), _TOGETHER):
        rows = RunSnapshot.objects.filter(snapshot_id__in=ids[start : start + _TOGETHER])
        known |= set(rows.values_list("snapshot_id", flat=True))
    return known | _known_copies(found)


def _known_copies(found: list[Snapshot]) -> set[str]:
    """Return those of the snapshots that are copies, or bear the tag of a copy that is still asked for."""
    tagged = {
        one.snapshot_id: key
        for one in found
        if (key := _uuid(one.tags.get(COPY_TAG, ""))) is not None
    }
    rows = dict[UUID, str]()
    for some in portions(tagged.values(), _TOGETHER):
        rows |= dict(Copy.objects.filter(pk__in=some).values_list("pk", "snapshot_id"))
    return {each for each, key in tagged.items() if key in rows and rows[key] in {each, ""}}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _strays(place: _Place, found: list[Snapshot]) -> Iterator[Finding]:
    known = _known(found)
    for snapshot in found:
        if snapshot.snapshot_id in known:
            continue
        run = _run(snapshot)
        if run is not None and run.state not in sequence.ENDS:
            continue
        finding = _settle(place, snapshot, run)
        if finding is not None:
            yield finding


def _run(snapshot: Snapshot) -> Run | None:
    key = _uuid(snapshot.tags.get(RUN_TAG, ""))
    if key is None:
        return None
    return Run.objects.select_related("account").filter(pk=key).first()


def _settle(place: _Place, snapshot: Snapshot, run: Run | None) -> Finding | None:
    if run is None:
        text = "its tags name no run that this server knows: check whether you still need it"
        return _finding(FindingKind.STRAY, place, snapshot, text)
    if not _is_of(run, place.account):
        text = f"its tags name run {run.pk}, which used another account: the tags are not trusted"
        return _finding(FindingKind.STRAY, place, snapshot, text)
    target = next(
        (
            target
            for target in run.targets.filter(region=place.region)
            if snapshot.volume_id in target.expected_volume_ids
        ),
        None,
    )
    if target is None:
        text = (
            f"run {run.pk} had no target with {snapshot.volume_id}: check whether you still need it"
        )
        return _finding(FindingKind.STRAY, place, snapshot, text)
    if not _adopt(run, target, snapshot):
        return None
    text = f"entered into run {run.pk} of {run.label}, which had ended without it"
    return _finding(FindingKind.ADOPTED, place, snapshot, text)


def _is_of(run: Run, account: Account) -> bool:
    """Tell whether the run's snapshots are in this account: the owner of another can write any tag there."""
    if run.account is None or run.account_id == account.pk:
        return run.account_id == account.pk
    return bool(account.aws_account_id) and run.account.aws_account_id == account.aws_account_id


@transaction.atomic
def _adopt(run: Run, target: RunTarget, snapshot: Snapshot) -> bool:
    """Enter the snapshot; False if another process has entered it meanwhile.

    The run's state stays as it ended; only the rows of its target and snapshot change.
    """
    states = RunSnapshot.State
    state = {"completed": states.COMPLETED, "pending": states.PENDING}.get(
        snapshot.state, states.ERROR
    )
    _, is_new = RunSnapshot.objects.get_or_create(
        snapshot_id=snapshot.snapshot_id,
        defaults={
            "target": target,
            "volume_id": snapshot.volume_id,
            "state": state,
            "progress": snapshot.progress,
            "created_at": run.ordered_at or run.created_at,
        },
    )
    if not is_new:
        return False
    known = facts(run)
    worths = zip(run.targets.all(), known.targets, strict=True)
    worth = next(worth for one, worth in worths if one.pk == target.pk)
    target.consistency = verdict.target_consistency(known, worth)
    target.save(update_fields=["consistency"])
    runs.record(run, f"{snapshot.snapshot_id} of {snapshot.volume_id} was found in AWS and entered")
    Run.objects.filter(pk=run.pk).update(tags_due=True)
    return True


def _gone(place: _Place, found: set[str]) -> Iterator[Finding]:
    """Yield what is gone: some runs at a time, the newest first, as an account may have made millions."""
    runs_of_it = Run.objects.filter(account=place.account).only("created_at")
    for some in keyset.batches(runs_of_it, ("-created_at", "-pk"), _TOGETHER):
        made = RunSnapshot.objects.filter(
            target__run__in=[run.pk for run in some],
            target__region=place.region,
            state=RunSnapshot.State.COMPLETED,
        )
        ids = made.order_by("pk").values_list("snapshot_id", flat=True)
        missing = [one for one in ids if one not in found]
        yield from _told_gone(place, missing)


def _told_gone(place: _Place, missing: list[str]) -> Iterator[Finding]:
    rows = RunSnapshot.objects.filter(snapshot_id__in=missing).order_by("pk")
    for row in rows.select_related("target__run") if missing else ():
        run = row.target.run
        text = f"run {run.pk} of {run.label} created it, and it is no longer in AWS"
        yield Finding(
            FindingKind.GONE, row.snapshot_id, place.region, place.label, str(run.pk), text
        )


def _finding(kind: FindingKind, place: _Place, snapshot: Snapshot, text: str) -> Finding:
    run = snapshot.tags.get(RUN_TAG, "")
    return Finding(kind, snapshot.snapshot_id, place.region, place.label, run, text)


def _tell(report: Reconciliation) -> None:
    for problem in report.problems:
        log.warning("could not be reconciled: %s", problem)
    for finding in report.findings:
        if finding.kind != FindingKind.GONE:
            log.warning("%s %s: %s", finding.snapshot_id, finding.kind, finding.text)
