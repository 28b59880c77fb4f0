"""The snapshots and their current states.

No timer changes a snapshot: its state is computed from the clock at each read.
"""

import itertools
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from moto.core.models import DEFAULT_ACCOUNT_ID

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.copying import Backing, CopySet, discard, take
from n2wbackup.demo.aws.options import Options

NO_VOLUME = "vol-ffffffff"  # what AWS shows as the volume of a copy

SLOW_TYPES = frozenset({"st1", "sc1"})
_COMPLETE = 100
KEY_NOT_ACCESSIBLE = "Given key ID is not accessible"


@dataclass(frozen=True, slots=True)
class Source:
    """A volume at the time of CreateSnapshots."""

    volume_id: str
    volume_type: str
    size_gib: int
    encrypted: bool
    kms_key_id: str | None
    backing: Backing | None
    default_key: bool = False  # it is encrypted with the account's own default key


@dataclass(frozen=True, slots=True)
class Request:
    """The request for the snapshots of one call; `fails`: they will all end in `error`."""

    region: str
    instance_id: str = ""
    description: str = ""
    fails: bool = False
    owner: str = DEFAULT_ACCOUNT_ID  # the number of the AWS account that owns the snapshots


@dataclass(frozen=True, slots=True)
class Copying:
    """What a copy is asked to be; `key` is the KMS key of an encrypted one."""

    encrypted: bool
    key: str
    is_default_key: bool = False
    completion_minutes: int = 0


@dataclass(slots=True)
class SnapshotSet:
    """The state that the snapshots of one call share: when they were created, how they end, their copies."""

    set_id: str
    created_at: datetime
    created: float  # on the monotonic clock
    pending_seconds: float
    hidden_seconds: float
    fails: bool
    key_denied: bool
    copies: CopySet | None = None  # None while the copies are being made


@dataclass(slots=True)
class Snapshot:
    """One snapshot; its `position` never changes and is never reused."""

    snapshot_id: str
    position: int
    of: SnapshotSet
    request: Request
    source: Source
    tags: dict[str, str]
    copy: Path | None = None
    settled: str = ""
    shared_with: set[str] = field(default_factory=set)  # numbers of AWS accounts
    completion_minutes: int = 0  # of a copy: how fast it was wanted; 0: nobody said
    origin: str = ""  # of a copy: the snapshot that it is a copy of

    def state(self) -> str:
        """Return pending, completed or error; a failed copy is an error too."""
        if self.settled:
            return self.settled
        copies = self.of.copies
        waited = time.monotonic() - self.of.created
        if waited < self.of.pending_seconds or copies is None or copies.state == "copying":
            return "pending"
        return "error" if self.of.fails or copies.state == "failed" else "completed"

    def message(self) -> str | None:
        """Return AWS's words for an error; the set of a volume whose key is denied fails with it, without words."""
        if self.state() != "error":
            return None
        if not self.of.key_denied:
            return "The snapshot could not be completed."
        return KEY_NOT_ACCESSIBLE if self.source.encrypted else None

    def progress(self) -> int:
        """Return the percentage: it grows while the snapshot is pending, and stays unchanged after an error."""
        state = self.state()
        if state == "completed":
            return _COMPLETE
        waited = time.monotonic() - self.of.created
        share = min(1.0, waited / self.of.pending_seconds) if self.of.pending_seconds > 0 else 1.0
        return min(_COMPLETE - 1, int(_COMPLETE * share))

    def completed_at(self) -> datetime | None:
        """Return when it was completed; a snapshot that was settled by hand says when it was created."""
        if self.state() != "completed":
            return None
        waited = 0.0 if self.settled else self.of.pending_seconds
        return self.of.created_at + timedelta(seconds=waited)

    def is_listed(self) -> bool:
        """Tell whether reads show the snapshot yet."""
        return time.monotonic() - self.of.created >= self.of.hidden_seconds


def _linked(origin: Snapshot, made: Snapshot) -> Path | None:
    """Give the copy the data of its origin: a second name for an image, which nobody ever writes to."""
    if origin.copy is None or not origin.copy.is_file():
        return None
    path = origin.copy.parent.parent / made.snapshot_id / origin.copy.name
    path.parent.mkdir(parents=True)
    path.hardlink_to(origin.copy)
    return path


class Snapshots:
    """All snapshots of all regions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshots: dict[str, Snapshot] = {}
        self._of_volume: dict[str, list[Snapshot]] = {}
        self._last_started: dict[str, float] = {}
        self._positions = itertools.count()

    def create(
        self, request: Request, sources: Sequence[tuple[Source, dict[str, str]]], options: Options
    ) -> list[Snapshot]:
        """Create one set: a snapshot of each volume, with its tags, and the copies of this moment.

        Either all or, with AWS's error, none. The limits are checked and the snapshots added under one
        lock; the copies are made outside of it, so that sets do not wait for each other.
        """
        key_denied = options.kms_denied and any(source.encrypted for source, _ in sources)
        with self._lock:
            self._refuse_beyond_limits([source for source, _ in sources], options)
            of = SnapshotSet(
                set_id=secrets.token_hex(8),
                created_at=datetime.now(tz=UTC),
                created=time.monotonic(),
                pending_seconds=options.pending_seconds,
                hidden_seconds=options.eventual_consistency_seconds,
                fails=request.fails or key_denied,
                key_denied=key_denied,
            )
            made = [self._enter(of, request, source, tags) for source, tags in sources]
        jobs = []
        for snapshot in made:
            backing = snapshot.source.backing
            if backing is not None and options.copy_backing:
                snapshot.copy = backing.copies / snapshot.snapshot_id / backing.source.name
                jobs.append((backing, snapshot.copy))
        of.copies = take(jobs)
        return made

    def copy_of(
        self,
        origin: Snapshot,
        request: Request,
        tags: dict[str, str],
        how: Copying,
        options: Options,
    ) -> Snapshot:
        """Create a copy of the snapshot, pending at first; AWS's error, and none, if too many are under way."""
        source = replace(origin.source, volume_id=NO_VOLUME, backing=None)
        if how.encrypted:
            source = replace(
                source, encrypted=True, kms_key_id=how.key, default_key=how.is_default_key
            )
        key_denied = _is_denied(origin, how.key, request.region, options)
        with self._lock:
            self._refuse_copies_beyond_limit(request, options)
            of = SnapshotSet(
                set_id=secrets.token_hex(8),
                created_at=datetime.now(tz=UTC),
                created=time.monotonic(),
                pending_seconds=options.copy_seconds,
                hidden_seconds=options.eventual_consistency_seconds,
                fails=request.fails or key_denied,
                key_denied=key_denied,
                copies=take(()),
            )
            made = self._enter(of, request, source, tags)
            made.completion_minutes, made.origin = how.completion_minutes, origin.snapshot_id
            made.copy = _linked(origin, made)
        return made

    def _refuse_copies_beyond_limit(self, request: Request, options: Options) -> None:
        pending = sum(
            each.state() == "pending"
            and (each.request.region, each.request.owner) == (request.region, request.owner)
            for each in self._of_volume.get(NO_VOLUME, ())
        )
        if 0 < options.copies_at_once <= pending:
            message = (
                "Too many snapshot copies in progress. The limit is 20 for this destination region."
            )
            raise ApiError("ResourceLimitExceeded", message)

    def _enter(
        self, of: SnapshotSet, request: Request, source: Source, tags: dict[str, str]
    ) -> Snapshot:
        snapshot_id = f"snap-{secrets.token_hex(9)[:17]}"
        snapshot = Snapshot(snapshot_id, next(self._positions), of, request, source, dict(tags))
        self._snapshots[snapshot_id] = snapshot
        self._of_volume.setdefault(source.volume_id, []).append(snapshot)
        self._last_started[source.volume_id] = of.created
        return snapshot

    def _refuse_beyond_limits(self, sources: Sequence[Source], options: Options) -> None:
        now = time.monotonic()
        for source in sources:
            others = self._of_volume.get(source.volume_id, [])
            pending = sum(each.state() == "pending" for each in others)
            limit = options.pending_per_volume
            if source.volume_type in SLOW_TYPES:
                limit = min(limit, 1)
            if 0 < limit <= pending:
                message = "Maximum allowed in-progress snapshots for a single volume exceeded."
                raise ApiError("ConcurrentSnapshotLimitExceeded", message)
            last = self._last_started.get(source.volume_id)
            if last is not None and now - last < options.per_volume_interval_seconds:
                message = (
                    "The maximum per volume CreateSnapshot request rate has been exceeded. "
                    "Use an increasing or variable sleep interval between requests."
                )
                raise ApiError("SnapshotCreationPerVolumeRateExceeded", message)

    def all(self, region: str = "") -> list[Snapshot]:
        """Return the snapshots (of one region), oldest first."""
        with self._lock:
            found = list(self._snapshots.values())
        return [each for each in found if not region or each.request.region == region]

    def get(self, region: str, snapshot_id: str, owner: str = "") -> Snapshot | None:
        """Return a snapshot of the region (and of this AWS account); None if there is none with this id."""
        found = self._snapshots.get(snapshot_id)
        if found is None or found.request.region != region:
            return None
        return found if owner in {"", found.request.owner} else None

    def delete(self, snapshot_id: str) -> bool:
        """Delete a snapshot and its copy; False if there is none with this id."""
        with self._lock:
            found = self._snapshots.pop(snapshot_id, None)
            if found is None:
                return False
            self._of_volume[found.source.volume_id].remove(found)
        if found.copy is not None and found.of.copies is not None:
            discard(found.of.copies, found.copy)
        return True

    def withdraw(self, snapshot_id: str) -> Snapshot | None:
        """Take a snapshot out of all lists, and keep its copy; None if there is none with this id."""
        with self._lock:
            found = self._snapshots.pop(snapshot_id, None)
            if found is not None:
                self._of_volume[found.source.volume_id].remove(found)
        return found

    def put_back(self, snapshot: Snapshot) -> None:
        """List a snapshot again that was withdrawn."""
        with self._lock:
            self._snapshots[snapshot.snapshot_id] = snapshot
            self._of_volume.setdefault(snapshot.source.volume_id, []).append(snapshot)

    def settle(self, state: str, snapshot_ids: Iterable[str] = ()) -> None:
        """End the pending snapshots (those with these ids, or all) in a state, whatever the clock says."""
        if state not in {"completed", "error"}:
            msg = f"A snapshot ends in the state completed or error, not {state!r}."
            raise ValueError(msg)
        wanted = set(snapshot_ids)
        for snapshot in self.all():
            if (snapshot.snapshot_id in wanted or not wanted) and snapshot.state() == "pending":
                snapshot.settled = state

    def clear(self) -> None:
        """Forget every snapshot; copies stay where they are."""
        with self._lock:
            self._snapshots.clear()
            self._of_volume.clear()
            self._last_started.clear()


def _is_denied(origin: Snapshot, key: str, region: str, options: Options) -> bool:
    """Tell whether KMS refuses a copy: of its own key, one of another region, or that of its source, to be read."""
    asked = {key, origin.source.kms_key_id or ""} - {""}
    of_region = key.split(":")[3] if key.startswith("arn:") else region
    return of_region != region or bool(asked & set(options.keys_denied))
