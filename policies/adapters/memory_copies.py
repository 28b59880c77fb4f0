"""Copies of snapshots in memory, for tests: the same answers and refusals as EC2, without network.

tests/contract/test_copies.py checks that.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from n2wbackup.lib import clock
from policies.adapters import limits, translate
from policies.adapters.memory import MemoryCloud
from policies.adapters.translate import Call
from policies.domain.errors import AwsError
from policies.ports import Snapshot
from policies.ports.copies import CopyRequest

Method = Literal["copy", "share", "unshare", "tagged"]
NO_VOLUME = "vol-ffffffff"
_SHORTEST, _LONGEST, _STEP = 15, 2_880, 15


@dataclass
class World:
    """All AWS accounts there are, by their number, and with whom each snapshot is shared."""

    clouds: dict[str, MemoryCloud] = field(default_factory=dict)
    shared: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unshareable: set[str] = field(default_factory=set)  # encrypted with a default key
    copies_at_once: int = 20

    def add(self, cloud: MemoryCloud) -> "MemoryCopies":
        self.clouds[cloud.aws_account_id] = cloud
        return MemoryCopies(self, cloud)


class MemoryCopies:
    """One account's copies. `asked` has every call that would have reached AWS."""

    def __init__(self, world: World, cloud: MemoryCloud) -> None:
        self.world, self.cloud = world, cloud
        self.asked: list[tuple[Method, str]] = []  # with the snapshot, or the tag
        self.requests: list[CopyRequest] = []
        self._faults: dict[Method, deque[tuple[AwsError, bool]]] = defaultdict(deque)

    def fail_next(self, method: Method, error: AwsError, *, done: bool = False) -> None:
        """Let the next call of the method raise the error; with `done`, after it has done its work."""
        self._faults[method].append((error, done))

    def copy(self, request: CopyRequest) -> str:
        """Make a pending snapshot; `advance` of its cloud ends it."""
        lost = self._begin("copy", request.snapshot_id)
        self.requests.append(request)
        call = Call("CopySnapshot", request.snapshot_id, request.region, creates=True)
        origin = self._source(request)
        if origin is None:
            message = f"The snapshot '{request.snapshot_id}' does not exist."
            raise translate.refusal("InvalidSnapshot.NotFound", message, call)
        minutes = request.completion_minutes
        if minutes and (not _SHORTEST <= minutes <= _LONGEST or minutes % _STEP):
            message = f"Value ({minutes}) for parameter CompletionDurationMinutes is invalid."
            raise translate.refusal("InvalidParameterValue", message, call)
        if origin.state != "completed":
            raise translate.refusal("IncorrectState", "Snapshot is in invalid state", call)
        if sum(s.state == "pending" for s in self._of(request.region)) >= self.world.copies_at_once:
            raise translate.refusal("ResourceLimitExceeded", "Too many snapshot copies", call)
        made = Snapshot(
            self.cloud.new_snapshot_id(),
            NO_VOLUME,
            "pending",
            tags=limits.tags(request.tags),
            started_at=clock.now(),
        )
        self.cloud.keep(request.region, made)
        if lost:
            raise lost
        return made.snapshot_id

    def share(self, region: str, snapshot_id: str, aws_account_id: str) -> None:
        lost = self._begin("share", snapshot_id)
        call = self._own(region, snapshot_id)
        if snapshot_id in self.world.unshareable:
            message = "Encrypted snapshots with EBS default key cannot be shared"
            raise translate.refusal("OperationNotPermitted", message, call)
        self.world.shared[snapshot_id].add(aws_account_id)
        if lost:
            raise lost

    def unshare(self, region: str, snapshot_id: str, aws_account_id: str) -> None:
        lost = self._begin("unshare", snapshot_id)
        self._own(region, snapshot_id)
        self.world.shared[snapshot_id].discard(aws_account_id)
        if lost:
            raise lost

    def tagged(self, region: str, key: str, value: str = "") -> list[Snapshot]:
        self._begin("tagged", value or key)
        rows = [each for each in self._of(region) if key in each.tags]
        return [each for each in rows if not value or each.tags[key] == value]

    def _begin(self, method: Method, subject: str) -> AwsError | None:
        self.asked.append((method, subject))
        if not self._faults[method]:
            return None
        error, done = self._faults[method].popleft()
        if not done:
            raise error
        return error

    def _of(self, region: str) -> Sequence[Snapshot]:
        return self.cloud.in_region(region)

    def _own(self, region: str, snapshot_id: str) -> Call:
        call = Call("ModifySnapshotAttribute", snapshot_id, region)
        if snapshot_id not in {each.snapshot_id for each in self._of(region)}:
            message = f"The snapshot '{snapshot_id}' does not exist."
            raise translate.refusal("InvalidSnapshot.NotFound", message, call)
        return call

    def _source(self, request: CopyRequest) -> Snapshot | None:
        own = self.cloud.aws_account_id
        for number, cloud in self.world.clouds.items():
            for each in cloud.in_region(request.source_region):
                is_known = number == own or own in self.world.shared[each.snapshot_id]
                if each.snapshot_id == request.snapshot_id and is_known:
                    return each
        return None
