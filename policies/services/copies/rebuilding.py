"""Restore points of a lost server, found by its tags in AWS and adopted by this one.

Adopting is repeatable at each step: first the rows, with the lost server's id, so that no rule lets anything go; then
this server's tag on the snapshots; last this server's id on the row. A second call goes on where the first one died.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from n2wbackup.lib import clock, home
from policies.adapters import limits, session
from policies.domain.copies import lost
from policies.domain.copies.lost import Piece, Point
from policies.domain.copies.states import CopyState
from policies.domain.errors import BackupError, RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, Copy, Policy, Run, RunSnapshot, RunTarget, Server
from policies.ports import Snapshot
from policies.services import protection, runs
from policies.services.window import credentials
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.services import audit

ALIVE_FOR = timedelta(minutes=5)
_THERE = "completed"
_ADOPTED = "Adopted from server"


class Place(NamedTuple):
    """Where restore points are looked for."""

    account: Account
    region: str


@dataclass
class Found:
    """What the tags in some places say. `problems`: places that were not looked at, and tags that cannot be read."""

    points: list[Point] = field(default_factory=list)
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)  # region, snapshot
    problems: list[str] = field(default_factory=list)


def look(places: Iterable[Place], server: str = "") -> Found:
    """Return the restore points in these places that another server has made; asks AWS, and changes nothing."""
    found, pieces = Found(), dict[tuple[str, str], Piece]()
    reached: defaultdict[tuple[str, str], list[Account]] = defaultdict(list)
    own = home.server_id()
    for account, region in places:
        try:
            cloud = session.copies(credentials.of(account))
            rows = cloud.tagged(region, limits.SERVER_TAG, server)
        except BackupError as error:
            found.problems.append(f"{account.owner}/{account} in {region}: {error}")
            continue
        for row in rows:
            if row.tags.get(limits.SERVER_TAG) == own and _is_known(row):
                continue
            reached[region, row.snapshot_id].append(account)
            pieces[region, row.snapshot_id] = _piece(region, row)
    for place, accounts in reached.items():
        theirs = _whose(accounts, pieces[place])
        if theirs is None:
            names = " and ".join(sorted({f"{one.owner}/{one}" for one in accounts}))
            found.problems.append(
                f"{place[1]} in {place[0]} is reached by {names}, and its tags name none of these owners: it is left "
                "out. Name the right account with --account."
            )
            del pieces[place]
        else:
            found.accounts[place] = theirs
    found.points, unread = lost.points(pieces.values())
    found.problems += [
        f"{one.snapshot_id} in {one.region} has a server's tag, but no run that can be read: it is left out."
        for one in unread
    ]
    return found


def _whose(accounts: Sequence[Account], piece: Piece) -> Account | None:
    """Return the account that the snapshot belongs to.

    Accounts of several owners may lead to one AWS account. There, and only there, the tag decides between these owners.
    """
    if len({account.owner_id for account in accounts}) == 1:
        return accounts[0]
    said = piece.tags.get("n2wbackup:owner", "")
    return next((one for one in accounts if one.owner.username == said), None)


def _is_known(row: Snapshot) -> bool:
    """Tell whether rows of this server's have the snapshot.

    Others with its tag are what its database has lost, or what it began to adopt when it died.
    """
    own = (home.server_id(), "")
    snapshots = RunSnapshot.objects.filter(snapshot_id=row.snapshot_id, target__run__server__in=own)
    copies = Copy.objects.filter(snapshot_id=row.snapshot_id, run__server__in=own)
    return snapshots.exists() or copies.exists()


def _piece(region: str, row: Snapshot) -> Piece:
    volume = row.volume_id
    if limits.COPY_TAG in row.tags:
        volume = row.tags.get("n2wbackup:volume", "")[:32] or volume
    return Piece(
        snapshot_id=row.snapshot_id,
        volume_id=volume,
        region=region,
        state=row.state,
        started_at=row.started_at or clock.now(),
        size_gib=row.size_gib,
        tags=row.tags,
    )


def claimed_by_the_living(found: Found) -> dict[str, str]:
    """Return the servers among the finds that may be alive, each with a sentence that says why."""
    now, newest = clock.now(), dict[str, datetime]()
    for point in found.points:
        pieces = (*point.originals, *point.copies)
        latest = max(piece.started_at for piece in pieces)
        newest[point.server] = max(latest, newest.get(point.server, latest))
    living = {}
    for server, latest in newest.items():
        row = Server.objects.filter(pk=server, removed_at=None).first()
        if server == home.server_id():
            continue
        if row is not None and now - row.heartbeat_at < ALIVE_FOR:
            living[server] = f"Server {row} is alive on this database."
        elif lost.may_be_alive(latest, now):
            living[server] = (
                f"Server {server} made a snapshot at {latest:%Y-%m-%d %H:%M} UTC: it may be alive."
            )
    return living


def adopt(found: Found, confirmed: Collection[str] = ()) -> list[Run]:
    """Adopt the restore points; return those that were not this server's before.

    RefusedError, and nothing changed, if a server may be alive whose id is not among the confirmed ones.
    """
    for server, why in claimed_by_the_living(found).items():
        if server not in confirmed:
            message = (
                f"{why} Two servers that own the same snapshots would both delete them. If it is gone for good, "
                f"repeat the command with --claim {server}."
            )
            raise RefusedError(message)
    adopted = []
    for point in found.points:
        run = _enter(point, found)
        if run is not None and _take(run, point, found):
            adopted.append(run)
    return adopted


def _owner_of(point: Point, found: Found) -> Account:
    """Return the account of the point: its snapshots' own if they exist, else that of a copy."""
    first = (*point.originals, *point.copies)[0]
    return found.accounts[first.region, first.snapshot_id]


@transaction.atomic
def _enter(point: Point, found: Found) -> Run | None:
    """Enter what is not there yet; None for a run that is another owner's, or this server's own already."""
    account = _owner_of(point, found)
    run = Run.objects.select_for_update(of=("self",)).filter(pk=point.run).first()
    if run is None:
        run = _run(point, account)
        run.save(force_insert=True)
        runs.record(run, f"found by the tags of server {point.server}")
    elif run.owner_id != account.owner_id:
        found.problems.append(
            f"Run {run.pk} belongs to {run.owner_name}, and not to {account.owner}, in whose account it was found: it "
            "is left out."
        )
        return None
    targets = _targets(run, point, found)
    for piece in point.copies:
        _copy(run, piece, targets, found)
    _count(run)
    return run


def _run(point: Point, account: Account) -> Run:
    owner = account.owner
    policy = Policy.objects.filter(owner=owner, name=point.policy).first()
    return Run(
        pk=point.run,
        policy=policy,
        owner=owner,
        account=account,
        policy_name=point.policy,
        owner_name=owner.username,
        trigger=Trigger.MANUAL,
        state=State.PARTIAL,
        consistency=point.consistency,
        reason=f"{_ADOPTED} {point.server}: only what its tags say is known.",
        server=point.server,
        created_at=point.at,
        fired_at=point.at,
        ended_at=point.at,
    )


def _targets(run: Run, point: Point, found: Found) -> dict[str, RunSnapshot]:
    """Enter the snapshots below their instance or volume; return them by the id of the snapshot.

    A run of this server's own knows its volumes: a tag adds none to it.
    """
    entered = {}
    known = set[str]()
    if run.server in {home.server_id(), ""} and not run.reason.startswith(_ADOPTED):
        known = {each for target in run.targets.all() for each in target.expected_volume_ids}
    for piece in point.originals:
        if known and piece.volume_id not in known:
            found.problems.append(
                f"{piece.snapshot_id} names run {run.pk}, which had no target with {piece.volume_id}: it is left out."
            )
        elif found.accounts[piece.region, piece.snapshot_id].owner_id == run.owner_id:
            state = (
                RunSnapshot.State.COMPLETED if piece.state == _THERE else RunSnapshot.State.ERROR
            )
            entered[piece.snapshot_id] = _snapshot(
                run, piece, piece.snapshot_id, piece.region, state
            )
    return entered


def _snapshot(
    run: Run, piece: Piece, snapshot_id: str, region: str, state: RunSnapshot.State
) -> RunSnapshot:
    present = RunSnapshot.objects.filter(snapshot_id=snapshot_id).first()
    if present is not None:
        return present
    place = (
        {"instance_id": piece.instance_id} if piece.instance_id else {"volume_id": piece.volume_id}
    )
    target, _ = RunTarget.objects.get_or_create(
        run=run,
        region=region,
        **place,
        defaults={"consistency": piece.consistency, "fired_at": run.fired_at},
    )
    if piece.volume_id not in target.expected_volume_ids:
        target.expected_volume_ids = [*target.expected_volume_ids, piece.volume_id]
    is_usable = state == RunSnapshot.State.COMPLETED and target.state != RunTarget.State.FAILED
    target.state = RunTarget.State.USABLE if is_usable else RunTarget.State.FAILED
    target.save(update_fields=["expected_volume_ids", "state"])
    return RunSnapshot.objects.create(
        target=target,
        snapshot_id=snapshot_id,
        volume_id=piece.volume_id,
        state=state,
        progress=100,
        created_at=run.created_at,
    )


def _copy(run: Run, piece: Piece, targets: dict[str, RunSnapshot], found: Found) -> None:
    """Enter a copy; where its source was not found, the source is entered as gone."""
    account = found.accounts[piece.region, piece.snapshot_id]
    if (
        Copy.objects.filter(snapshot_id=piece.snapshot_id).exists()
        or account.owner_id != run.owner_id
    ):
        return
    source_id = piece.tags.get("n2wbackup:source", "")[:32] or f"of-{piece.snapshot_id}"[:32]
    source = (
        targets.get(source_id)
        or RunSnapshot.objects.filter(snapshot_id=source_id, target__run=run).first()
    )
    if source is None:
        region = piece.tags.get("n2wbackup:source-region", "")[:32] or piece.region
        source = _snapshot(run, piece, source_id, region, RunSnapshot.State.GONE)
    key = piece.copy
    if key is not None and Copy.objects.filter(pk=key).exists():
        key = None  # two snapshots bear the tag of one copy
    made = Copy(
        run=run,
        source=source,
        account=account,
        region=piece.region,
        state=CopyState.COMPLETED if piece.state == _THERE else CopyState.FAILED,
        snapshot_id=piece.snapshot_id,
        progress=100,
        created_at=piece.started_at,
        completed_at=piece.started_at,
    )
    if key is not None:
        made.pk = key
    made.save(force_insert=True)


def _count(run: Run) -> None:
    """Let the run be a restore point if something of it can be restored where it was made."""
    usable = run.targets.filter(state=RunTarget.State.USABLE)
    run.restore_point = usable.filter(snapshots__state=RunSnapshot.State.COMPLETED).exists()
    run.save(update_fields=["restore_point"])


def _take(run: Run, point: Point, found: Found) -> bool:
    """Write this server's tag to the snapshots, and then its id to the row; False if that is done already."""
    own = home.server_id()
    changed = run.server != own
    for account, region, ids in _by_place((*point.originals, *point.copies), found):
        if point.server != own and account.owner_id == run.owner_id:
            try:
                cloud = session.cloud(credentials.of(account))
                cloud.tag(
                    region, ids, {limits.SERVER_TAG: own, "n2wbackup:adopted-from": point.server}
                )
            except BackupError as error:
                found.problems.append(f"Run {run.pk} is not adopted yet: {error}")
                return False
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(server=own)
        if changed:
            runs.record(run, f"adopted from server {point.server}")
            audit.record(Action.ADOPTED, audit.subject(Kind.RUN, run, run.label))
        if run.policy_id:
            protection.renew([run.policy_id])
    run.server = own
    return changed or point.server == own


def _by_place(pieces: Sequence[Piece], found: Found) -> list[tuple[Account, str, list[str]]]:
    places: dict[tuple[int, str], tuple[Account, str, list[str]]] = {}
    for piece in pieces:
        account = found.accounts[piece.region, piece.snapshot_id]
        place = places.setdefault((account.pk, piece.region), (account, piece.region, []))
        place[2].append(piece.snapshot_id)
    return list(places.values())


def known_runs(points: Iterable[Point]) -> set[UUID]:
    """Return those of the restore points that have a row of this server's."""
    keys = [point.run for point in points]
    rows = Run.objects.filter(pk__in=keys, server=home.server_id())
    return set(rows.values_list("pk", flat=True))
