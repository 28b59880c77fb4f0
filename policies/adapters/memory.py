"""An account's AWS in memory, for tests: the same answers and refusals as EC2, without network.

tests/contract/test_cloud.py checks that.
"""

import hashlib
import itertools
import re
import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from policies.adapters import limits, translate
from policies.adapters.memory_methods import Method
from policies.adapters.translate import Call
from policies.domain.errors import AwsError, RejectedError, UnreachableError
from policies.ports import Aimed, Answer, Caller, FireRequest, Instance, Snapshot, Volume

ACCOUNT = "123456789012"
_NUMBERS = itertools.count(1)  # one for all accounts: no two have a snapshot of the same id
_EXCLUDED_VOLUMES = 40
COULD_NOT = "The snapshot could not be completed."
_HEX = re.compile("[0-9a-f]{8}|[0-9a-f]{17}")


@dataclass(frozen=True, slots=True)
class PortCall:
    """One call of a port's method: `request` of prove and fire, `ids` of the others."""

    method: Method
    region: str
    request: FireRequest | None = None
    ids: tuple[str, ...] = ()


class MemoryCloud:
    """Instances, volumes and snapshots of one account; thread-safe.

    `calls` has every call in order, refused ones included. A snapshot is pending until `advance`.
    """

    def __init__(self, aws_account_id: str = ACCOUNT) -> None:
        """Start empty."""
        self.aws_account_id = aws_account_id
        self.calls: list[PortCall] = []
        self.denied: set[str] = set()  # permissions that the account lacks, without their service
        self.user_data: dict[str, bytes] = {}  # by instance
        self.consoles: dict[
            str, tuple[str, str | None]
        ] = {}  # at the start, and now (None: no Nitro)
        self._lock = threading.RLock()
        self._instances: dict[str, Instance] = {}
        self._volumes: dict[str, Volume] = {}
        self._snapshots: dict[str, tuple[str, Snapshot]] = {}  # id → region, snapshot
        self._faults: dict[Method, deque[tuple[AwsError, bool]]] = defaultdict(deque)

    # What a test arranges

    def add_instance(self, region: str = "us-east-1", volumes: int = 2) -> Instance:
        """Create a running instance with so many volumes, the root first."""
        instance_id = self._new_id("i")
        ids = tuple(self._add_volume(region, "gp3", instance_id).volume_id for _ in range(volumes))
        devices = [
            {"DeviceName": f"/dev/sd{chr(ord('a') + n)}", "Ebs": {"VolumeId": volume_id}}
            for n, volume_id in enumerate(ids)
        ]
        answer = {"InstanceId": instance_id, "BlockDeviceMappings": devices}
        made = Instance(instance_id, region, ACCOUNT, "running", ids[0], ids, answer)
        self._instances[instance_id] = made
        return made

    def add_volume(self, region: str = "us-east-1", volume_type: str = "gp3") -> Volume:
        """Create a volume that is not attached."""
        return self._add_volume(region, volume_type, "")

    def attach_also(self, volume_id: str, instance_id: str) -> None:
        """Attach a volume to another instance too, as AWS does with io2 volumes (Multi-Attach)."""
        found = self._instances[instance_id]
        self._instances[instance_id] = replace(found, volume_ids=(*found.volume_ids, volume_id))

    def retag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Let an instance or a volume bear exactly these tags."""
        said = {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        with self._lock:
            if resource_id in self._volumes:
                volume = self._volumes[resource_id]
                self._volumes[resource_id] = replace(volume, answer={**volume.answer, **said})
            else:
                instance = self._instances[resource_id]
                self._instances[resource_id] = replace(instance, answer={**instance.answer, **said})

    def _add_volume(self, region: str, volume_type: str, instance_id: str) -> Volume:
        volume_id = self._new_id("vol")
        answer = {"VolumeId": volume_id, "VolumeType": volume_type, "Size": 1}
        made = Volume(volume_id, region, volume_type, instance_id, answer)
        self._volumes[made.volume_id] = made
        return made

    def _new_id(self, kind: str) -> str:
        return f"{kind}-{next(_NUMBERS):017x}"

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance and delete its volumes."""
        gone = self._instances[instance_id]
        for volume_id in gone.volume_ids:
            del self._volumes[volume_id]
        self._instances[instance_id] = replace(
            gone, state="terminated", root_volume_id="", volume_ids=()
        )

    def advance(
        self, state: Literal["completed", "error"] = "completed", message: str = COULD_NOT
    ) -> None:
        """End every pending snapshot in this state; AWS says the message about an error."""
        with self._lock:
            for region, snapshot in list(self._snapshots.values()):
                if snapshot.state == "pending":
                    self.keep(region, _ended(snapshot, state, message))

    def delete_snapshot(self, snapshot_id: str) -> None:
        del self._snapshots[snapshot_id]

    @property
    def snapshot_ids(self) -> frozenset[str]:
        """Every snapshot that exists, in all regions."""
        return frozenset(self._snapshots)

    def fail_next(self, method: Method, error: AwsError, *, done: bool = False) -> None:
        """Let the next call of the method raise the error; with `done`, after it has done its work.

        Several errors of one method are raised in the order in which they were given.
        """
        self._faults[method].append((error, done))

    def in_region(self, region: str) -> list[Snapshot]:
        """Return the snapshots of the region, without a call."""
        with self._lock:
            return [each for of, each in self._snapshots.values() if of == region]

    def new_snapshot_id(self) -> str:
        """Return an id that no snapshot of any account has."""
        return self._new_id("snap")

    def keep(self, region: str, snapshot: Snapshot) -> None:
        """Have this snapshot, new or changed."""
        with self._lock:
            self._snapshots[snapshot.snapshot_id] = (region, snapshot)

    # The port

    def renew(self, seconds: float) -> None:
        """Only record the call: there is nothing that expires."""
        self._begin(PortCall("renew", "", ids=(f"{seconds:.0f}",)))

    def warm(self, region: str, connections: int) -> None:
        """Only record the call: there is nothing to connect to."""
        self._begin(PortCall("warm", region, ids=("",) * connections))

    def prove(self, request: FireRequest) -> None:
        """Raise what `fire` would raise."""
        self._begin(PortCall("prove", request.region, request))
        call = _call(request)
        self._permit(call, call.action)
        if request.tags:
            self._permit(call, "CreateTags")
        self._chosen(request)

    def aim(self, request: FireRequest) -> Aimed:
        """Return what fires: there is nothing to sign."""

        def send(timeout_seconds: float) -> Answer:
            made = self.fire(request, timeout_seconds)
            return lambda: made

        return send

    def fire(self, request: FireRequest, timeout_seconds: float) -> list[Snapshot]:
        """Create pending snapshots."""
        if timeout_seconds <= 0:
            raise UnreachableError(f"{_call(request)} was not sent: no time was left for it.")
        with self._lock:
            lost = self._begin(PortCall("fire", request.region, request))
            tags = limits.tags(request.tags)
            made = [
                Snapshot(self._new_id("snap"), volume_id, "pending", tags=dict(tags))
                for volume_id in self._chosen(request)
            ]
            for snapshot in made:
                self.keep(request.region, snapshot)
        if lost:
            raise lost
        return made

    def describe(self, region: str, snapshot_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Return those that exist."""
        self._begin(PortCall("describe", region, ids=tuple(snapshot_ids)))
        return {each: found for each in snapshot_ids if (found := self._snapshot(region, each))}

    def of_run(self, region: str, server: str, run: str) -> list[Snapshot]:
        """Return those with both tags."""
        self._begin(PortCall("of_run", region, ids=(run,)))
        wanted = {limits.SERVER_TAG: server, limits.RUN_TAG: run}.items()
        with self._lock:
            found = list(self._snapshots.values())
        return [each for of, each in found if of == region and wanted <= each.tags.items()]

    def of_server(self, region: str, server: str) -> list[Snapshot]:
        """Return those with the server's tag."""
        self._begin(PortCall("of_server", region))
        with self._lock:
            found = list(self._snapshots.values())
        return [s for of, s in found if of == region and s.tags.get(limits.SERVER_TAG) == server]

    def tag(self, region: str, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set the tags on all, or on none if one is missing."""
        with self._lock:
            lost = self._begin(PortCall("tag", region, ids=tuple(snapshot_ids)))
            found = [(each, self._snapshot(region, each)) for each in dict.fromkeys(snapshot_ids)]
            for snapshot_id, snapshot in found:
                if snapshot is None:
                    call = Call("CreateTags", snapshot_id, region)
                    raise _absent("InvalidSnapshot", "snapshot", call)
            for _, snapshot in found:
                if snapshot is not None:
                    self.keep(
                        region, replace(snapshot, tags={**snapshot.tags, **limits.tags(tags)})
                    )
        if lost:
            raise lost

    def instances(self, region: str, instance_ids: Sequence[str]) -> dict[str, Instance]:
        """Return those that exist and are not terminated."""
        self._begin(PortCall("instances", region, ids=tuple(instance_ids)))
        found = [self._instances[each] for each in instance_ids if each in self._instances]
        return {
            each.instance_id: each
            for each in found
            if each.region == region and each.state != "terminated"
        }

    def volumes(self, region: str, volume_ids: Sequence[str]) -> dict[str, Volume]:
        """Return those that exist."""
        self._begin(PortCall("volumes", region, ids=tuple(volume_ids)))
        found = [self._volumes[each] for each in volume_ids if each in self._volumes]
        return {each.volume_id: each for each in found if each.region == region}

    def all_instances(self, region: str) -> list[Instance]:
        """Return those of the region that are not terminated."""
        self._begin(PortCall("all_instances", region))
        call = Call("DescribeInstances", "", region)
        self._permit(call, call.action)
        rows = sorted(self._instances.items())
        return [row for _, row in rows if row.region == region and row.state != "terminated"]

    def all_volumes(self, region: str) -> list[Volume]:
        """Return those of the region."""
        self._begin(PortCall("all_volumes", region))
        call = Call("DescribeVolumes", "", region)
        self._permit(call, call.action)
        return [row for _, row in sorted(self._volumes.items()) if row.region == region]

    def user_data_hash(self, region: str, instance_id: str) -> str:
        """Return the hash of what is in `user_data`."""
        self._begin(PortCall("user_data_hash", region, ids=(instance_id,)))
        call = Call("DescribeInstanceAttribute", instance_id, region)
        self._permit(call, call.action)
        instance = self._instances.get(instance_id)
        if instance is None or instance.region != region:
            raise _absent("InvalidInstanceID", "instance ID", call)
        data = self.user_data.get(instance_id, b"")
        return hashlib.sha256(data).hexdigest() if data else ""

    def console_output(self, region: str, instance_id: str, *, latest: bool) -> str:
        """Return what is in `consoles`."""
        self._begin(PortCall("console_output", region, ids=(instance_id,)))
        call = Call("GetConsoleOutput", instance_id, region)
        self._permit(call, call.action)
        instance = self._instances.get(instance_id)
        if instance is None or instance.region != region:
            raise _absent("InvalidInstanceID", "instance ID", call)
        early, now = self.consoles.get(instance_id, ("", ""))
        if latest and now is None:
            raise RejectedError(f"{call} failed: this instance type does not support it.")
        return (now or "") if latest else early

    def caller(self, region: str) -> Caller:
        """Return a user of the only AWS account."""
        self._begin(PortCall("caller", region))
        number = self.aws_account_id
        return Caller(number, f"arn:aws:iam::{number}:user/backup")

    def may_list(self, action: str, region: str) -> None:
        """Raise if it is denied."""
        self._begin(PortCall("may_list", region, ids=(action,)))
        self._permit(Call(action, "", region), action)

    def may_tag(self, region: str, snapshot_id: str, tags: Mapping[str, str]) -> None:
        """Raise if it is denied, or if there is no such snapshot."""
        self._begin(PortCall("may_tag", region, ids=(snapshot_id, *tags)))
        call = Call("CreateTags", snapshot_id, region)
        self._permit(call, "CreateTags")
        if self._snapshot(region, snapshot_id) is None:
            raise _absent("InvalidSnapshot", "snapshot", call)

    def any_instance(self, region: str) -> str:
        """Return the first one that is not terminated."""
        self._begin(PortCall("any", region))
        rows = [each for each in self._instances.values() if each.state != "terminated"]
        return next((each.instance_id for each in rows if each.region == region), "")

    def any_volume(self, region: str) -> str:
        """Return the first one."""
        self._begin(PortCall("any", region))
        rows = self._volumes.values()
        return next((each.volume_id for each in rows if each.region == region), "")

    def any_snapshot(self, region: str, server: str) -> str:
        """Return the first one with the tag."""
        self._begin(PortCall("any", region))
        rows = [each for of, each in self._snapshots.values() if of == region]
        ours = (each for each in rows if each.tags.get(limits.SERVER_TAG) == server)
        return next((each.snapshot_id for each in ours), "")

    # Its own parts

    def _permit(self, call: Call, action: str) -> None:
        if action in self.denied:
            message = f"User: x is not authorized to perform: ec2:{action} on resource: *"
            raise translate.refusal("UnauthorizedOperation", message, call)

    def _begin(self, call: PortCall) -> AwsError | None:
        """Record the call and raise its fault; return a fault that comes after the work."""
        with self._lock:
            self.calls.append(call)
            if not self._faults[call.method]:
                return None
            error, done = self._faults[call.method].popleft()
        if not done:
            raise error
        return error

    def _snapshot(self, region: str, snapshot_id: str) -> Snapshot | None:
        of, found = self._snapshots.get(snapshot_id, ("", None))
        return found if of == region else None

    def _chosen(self, request: FireRequest) -> list[str]:
        """Return the volumes of the request; raise AWS's refusal if there are none."""
        call = _call(request)
        if not request.instance_id:
            volume = self._volumes.get(request.volume_id)
            if volume is None or volume.region != request.region:
                raise _absent("InvalidVolume", "volume", call)
            return [volume.volume_id]
        instance = self._instances.get(request.instance_id)
        if instance is None or instance.region != request.region:
            raise _absent("InvalidInstanceID", "instance ID", call)
        return _left(instance, request, call)


def _call(request: FireRequest) -> Call:
    action = "CreateSnapshots" if request.instance_id else "CreateSnapshot"
    return Call(action, request.instance_id or request.volume_id, request.region)


def _absent(code: str, kind: str, call: Call) -> AwsError:
    """Return AWS's refusal of an id that it does not know, or that is malformed."""
    if _HEX.fullmatch(call.subject.partition("-")[2]):
        message = f"The {kind} '{call.subject}' does not exist"
        return translate.refusal(f"{code}.NotFound", message, call)
    return translate.refusal(f"{code}.Malformed", f'Invalid id: "{call.subject}"', call)


def _left(instance: Instance, request: FireRequest, call: Call) -> list[str]:
    """Return the instance's volumes without those that the request excludes."""
    data = set(instance.volume_ids) - {instance.root_volume_id}
    wrong = [each for each in request.exclude_volume_ids if each not in data]
    if len(request.exclude_volume_ids) > _EXCLUDED_VOLUMES or wrong:
        message = f"ExcludeDataVolumeIds: {', '.join(wrong) or 'more than 40 volumes'}"
        raise translate.refusal("InvalidParameterValue", message, call)
    left_out = set(request.exclude_volume_ids)
    if request.exclude_boot_volume:
        left_out.add(instance.root_volume_id)
    left = [each for each in instance.volume_ids if each not in left_out]
    if not left:
        raise translate.refusal("InvalidParameterCombination", "No volume is left", call)
    return left


def _ended(snapshot: Snapshot, state: Literal["completed", "error"], message: str) -> Snapshot:
    if state == "completed":
        return replace(snapshot, state=state, progress=100)
    return replace(snapshot, state=state, message=message)
