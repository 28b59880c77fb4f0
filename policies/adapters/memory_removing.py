"""What deletes snapshots of an account's AWS in memory, for tests: `Removing` beside a `MemoryCloud`.

tests/contract/test_removing.py checks that it answers as EC2 does.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from n2wbackup.lib import clock
from policies.adapters import translate
from policies.adapters.memory import MemoryCloud
from policies.adapters.translate import Call
from policies.domain.errors import AwsError, RejectedError
from policies.ports import Snapshot
from policies.ports.removing import Image

Deed = Literal[
    "delete", "images_of", "deregister", "in_bin_until", "take_back", "lock", "unlock", "made_on"
]
_SHORTEST_LOCK = timedelta(days=1, minutes=-1)


class MemoryRemoving:
    """The snapshots are the cloud's; AMIs, locks and the Recycle Bin are here. `calls` has every call in order."""

    def __init__(self, cloud: MemoryCloud) -> None:
        """Delete in this cloud."""
        self.calls: list[tuple[Deed, str]] = []
        self.images: dict[str, tuple[str, Image]] = {}  # id → region, image
        self.locks: dict[str, tuple[str, datetime, datetime | None]] = {}  # mode, until, fixed at
        self.bin_keeps = timedelta()  # zero: the account has no Recycle Bin
        self._cloud = cloud
        self._bin: dict[str, tuple[str, Snapshot, datetime]] = {}
        self._faults: dict[Deed, deque[tuple[AwsError, bool]]] = defaultdict(deque)

    # What a test arranges

    def add_image(
        self, region: str, snapshot_ids: Sequence[str], tags: Mapping[str, str] | None = None
    ) -> str:
        """Register an AMI of these snapshots, the root device's first; return its id."""
        image_id = f"ami-{len(self.images) + 1:017x}"
        self.images[image_id] = region, Image(image_id, tuple(snapshot_ids), dict(tags or {}))
        return image_id

    def fail_next(self, deed: Deed, error: AwsError, *, done: bool = False) -> None:
        """Let the next call raise the error; with `done`, after it has done its work."""
        self._faults[deed].append((error, done))

    # The port

    def delete(self, region: str, snapshot_id: str) -> None:
        """Delete the snapshot, or put it into the Recycle Bin."""
        lost = self._begin("delete", snapshot_id)
        call = Call("DeleteSnapshot", snapshot_id, region)
        found = self._known(call)
        if self._lock(snapshot_id):
            raise RejectedError(f"{call} failed: it is locked.")
        for of, image in self.images.values():
            if of == region and image.snapshot_ids[:1] == (snapshot_id,):
                message = f"The snapshot {snapshot_id} is currently in use by {image.image_id}"
                raise translate.refusal("InvalidSnapshot.InUse", message, call)
        self._cloud.delete_snapshot(snapshot_id)
        if self.bin_keeps:
            self._bin[snapshot_id] = region, found, clock.now() + self.bin_keeps
        _lose(lost)

    def images_of(self, region: str, snapshot_ids: Sequence[str]) -> list[Image]:
        """Return the AMIs that need one of these snapshots."""
        _lose(self._begin("images_of", ",".join(snapshot_ids)))
        wanted = set(snapshot_ids)
        rows = list(self.images.values())
        return [image for of, image in rows if of == region and wanted & {*image.snapshot_ids}]

    def deregister(self, region: str, image_id: str) -> None:
        """Deregister the AMI."""
        lost = self._begin("deregister", image_id)
        if self.images.get(image_id, ("", None))[0] != region:
            call = Call("DeregisterImage", image_id, region)
            message = f"The image id '[{image_id}]' does not exist"
            raise translate.refusal("InvalidAMIID.NotFound", message, call)
        del self.images[image_id]
        _lose(lost)

    def in_bin_until(self, region: str, snapshot_id: str) -> datetime | None:
        """Return until when the Recycle Bin has the snapshot."""
        _lose(self._begin("in_bin_until", snapshot_id))
        of, _, until = self._bin.get(snapshot_id, ("", None, clock.now()))
        return until if of == region and until > clock.now() else None

    def take_back(self, region: str, snapshot_id: str) -> None:
        """Take the snapshot out of the Recycle Bin."""
        lost = self._begin("take_back", snapshot_id)
        of, found, until = self._bin.get(snapshot_id, ("", None, clock.now()))
        if of != region or found is None or until <= clock.now():
            raise _absent(Call("RestoreSnapshotFromRecycleBin", snapshot_id, region))
        del self._bin[snapshot_id]
        self._cloud.keep(region, found)
        _lose(lost)

    def lock(
        self, region: str, snapshot_id: str, mode: str, until: datetime, cool_off_hours: int = 0
    ) -> None:
        """Lock the snapshot, or change its lock as far as that is allowed."""
        lost, now = self._begin("lock", snapshot_id), clock.now()
        call = Call("LockSnapshot", snapshot_id, region)
        self._known(call)
        if until < now + _SHORTEST_LOCK:
            message = "The lock must last for at least one day."
            raise translate.refusal("InvalidParameterValue", message, call)
        before = self._lock(snapshot_id)
        if before and _is_fixed(before, now) and (mode != before[0] or until < before[1]):
            raise RejectedError(f"{call} failed: it is locked in compliance mode.")
        fixed_at = now + timedelta(hours=cool_off_hours) if mode == "compliance" else None
        self.locks[snapshot_id] = mode, until, fixed_at
        _lose(lost)

    def unlock(self, region: str, snapshot_id: str) -> None:
        """Take the lock away."""
        lost = self._begin("unlock", snapshot_id)
        call = Call("UnlockSnapshot", snapshot_id, region)
        self._known(call)
        found = self._lock(snapshot_id)
        if found is None or _is_fixed(found, clock.now()):
            raise RejectedError(f"{call} failed: there is no lock that can be taken away.")
        del self.locks[snapshot_id]
        _lose(lost)

    def made_on(
        self, region: str, key: str, values: Sequence[str], days: Sequence[date]
    ) -> list[Snapshot]:
        """Return the snapshots of these days with one of these values of the tag."""
        _lose(self._begin("made_on", key))
        rows = [each for each in self._cloud.in_region(region) if each.tags.get(key) in values]
        return [each for each in rows if each.started_at and each.started_at.date() in days]

    # Its own parts

    def _begin(self, deed: Deed, subject: str) -> AwsError | None:
        self.calls.append((deed, subject))
        if not self._faults[deed]:
            return None
        error, done = self._faults[deed].popleft()
        if not done:
            raise error
        return error

    def _known(self, call: Call) -> Snapshot:
        found = self._cloud.describe(call.region, [call.subject]).get(call.subject)
        if found is None:
            raise _absent(call)
        return found

    def _lock(self, snapshot_id: str) -> tuple[str, datetime, datetime | None] | None:
        found = self.locks.get(snapshot_id)
        return found if found is not None and found[1] > clock.now() else None


def _is_fixed(lock: tuple[str, datetime, datetime | None], now: datetime) -> bool:
    return lock[2] is not None and lock[2] <= now


def _absent(call: Call) -> AwsError:
    message = f"The snapshot '{call.subject}' does not exist."
    return translate.refusal("InvalidSnapshot.NotFound", message, call)


def _lose(lost: AwsError | None) -> None:
    if lost:
        raise lost
