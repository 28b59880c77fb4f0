"""Instances and volumes: moto keeps them, this module creates and finds them.

moto takes no locks. Every change of its state goes through `Inventory.lock`; readers take copies of its
dictionaries, so that CreateSnapshots never waits for a slow description.
"""

import itertools
import string
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.types import Base64EncodedString
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Snapshot as MotoSnapshot
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.models.instances import Instance

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.copying import Backing, backing
from n2wbackup.demo.aws.records import SimulatedInstance, VolumeSpec
from n2wbackup.demo.aws.snapshots import Snapshot, Source

ACCOUNT_ID = DEFAULT_ACCOUNT_ID
IMAGE_ID = "ami-0123456789abcdef0"
_PROVISIONED_TYPES = frozenset({"io1", "io2"})
_PROVISIONED_IOPS = 100


class Inventory:
    """The instances and volumes of every region, and the data behind the volumes."""

    def __init__(self, copies: Path) -> None:
        """Copies for snapshots go to `copies` unless a volume names another place."""
        self.lock = threading.RLock()
        self._copies = copies
        self._backings: dict[str, Backing] = {}
        self._folders: dict[str, Path] = {}
        self._instances: dict[tuple[str, str], Instance] = {}
        self._positions: dict[str, int] = {}
        self._made: dict[str, float] = {}
        self._with_own_key: set[str] = set()
        self._former_tags: dict[str, tuple[float, dict[str, str]]] = {}
        self._count = itertools.count()

    @staticmethod
    def has_region(region: str) -> bool:
        """Tell whether AWS has this region."""
        return region in ec2_backends[ACCOUNT_ID]

    def backend(self, region: str) -> EC2Backend:
        """Return moto's state of the region; ValueError if AWS has no such region."""
        if not self.has_region(region):
            msg = f"AWS has no region {region!r}."
            raise ValueError(msg)
        return ec2_backends[ACCOUNT_ID][region]

    def add_instance(
        self,
        region: str,
        volumes: list[VolumeSpec],
        name: str,
        state: str,
        folder: Path | None,
        user_data: str,
    ) -> SimulatedInstance:
        """Create an instance; the first volume is its root, and SSM uses `folder` as its disk."""
        with self.lock:
            backend = self.backend(region)
            reservation = backend.run_instances(
                IMAGE_ID,
                1,
                Base64EncodedString.from_raw_string(user_data) if user_data else None,
                [],
                instance_type="t3.micro",
                is_instance_type_default=False,
                region_name=region,
                block_device_mappings=[],
                tags={"instance": {"Name": name}} if name else {},
            )
            instance: Instance = reservation.instances[0]
            devices = itertools.chain([str(instance.root_device_name)], _data_devices())
            ids = []
            for spec, device in zip(volumes, devices, strict=False):
                ids.append(self.add_volume(region, spec))
                backend.attach_volume(ids[-1], instance.id, device, delete_on_termination=True)
            self._made[instance.id] = time.monotonic()
            if folder is not None:
                self._folders[instance.id] = folder
            if state == "stopped":
                backend.stop_instances([instance.id])
            elif state == "terminated":
                backend.terminate_instances([instance.id])
        return SimulatedInstance(instance.id, region, tuple(ids))

    def add_volume(self, region: str, spec: VolumeSpec) -> str:
        """Create a volume that is not attached; return its id."""
        behind = backing(spec.backing, spec.copy_to or self._copies) if spec.backing else None
        with self.lock:
            volume = self.backend(region).create_volume(
                size=spec.size_gib,
                zone_name=f"{region}a",
                encrypted=spec.encrypted,
                kms_key_id=spec.kms_key or None,
                volume_type=spec.type,
                iops=_PROVISIONED_IOPS if spec.type in _PROVISIONED_TYPES else None,
            )
            if spec.kms_key:
                self._with_own_key.add(str(volume.id))
            if spec.name:
                volume.add_tags({"Name": spec.name})
            self._made[volume.id] = time.monotonic()
        if behind is not None:
            self._backings[volume.id] = behind
        return str(volume.id)

    def enter_made(self, resource_id: str, behind: Backing | None) -> None:
        """Enter an instance or a volume that a call has made, with the data behind the volume."""
        self._made[resource_id] = time.monotonic()
        if behind is not None:
            self._backings[resource_id] = behind

    def copies_of(self, source: Path) -> Backing:
        """Return a backing whose copies go to the usual place."""
        return backing(source, self._copies)

    def attach(self, region: str, volume_id: str, instance_id: str, device: str) -> None:
        """Attach a volume; to the next free device name if `device` is empty."""
        with self.lock:
            instance = self.instance(region, instance_id)
            taken = set(instance.block_device_mapping)
            free = next(each for each in _data_devices() if each not in taken)
            self.backend(region).attach_volume(volume_id, instance_id, device or free)

    def detach(self, region: str, volume_id: str) -> None:
        """Detach a volume from its instance."""
        with self.lock:
            attachment = self.volume(region, volume_id).attachment
            if attachment is None:
                msg = f"The volume {volume_id} is not attached."
                raise ValueError(msg)
            self.backend(region).detach_volume(volume_id, attachment.instance.id, attachment.device)

    def instance(self, region: str, instance_id: str) -> Instance:
        """Return an instance; AWS's error if there is none. Cached, so only the first call searches."""
        found = self._instances.get((region, instance_id))
        if found is None:
            try:
                found = self.backend(region).get_instance(instance_id)
            except ServiceException as error:
                message = f"The instance ID '{instance_id}' does not exist"
                raise ApiError("InvalidInstanceID.NotFound", message) from error
            self._instances[region, instance_id] = found
        return found

    def instances(self, region: str) -> list[Instance]:
        """Return every instance of the region, oldest first."""
        return self.backend(region).all_instances()

    def volume(self, region: str, volume_id: str) -> Volume:
        """Return a volume; AWS's error if there is none."""
        found = self.backend(region).volumes.get(volume_id)
        if found is None:
            message = f"The volume '{volume_id}' does not exist."
            raise ApiError("InvalidVolume.NotFound", message)
        return found

    def volumes(self, region: str) -> list[Volume]:
        """Return every volume of the region, oldest first."""
        return list(self.backend(region).volumes.values())

    def folder(self, instance_id: str) -> Path | None:
        """Return the folder that stands for the instance; None if SSM does not manage it."""
        return self._folders.get(instance_id)

    def position(self, resource_id: str) -> int:
        """Return a number for the resource that never changes; later resources have higher numbers."""
        with self.lock:
            return self._positions.setdefault(resource_id, next(self._count))

    def tags(self, region: str, resource_id: str) -> dict[str, str]:
        """Return the tags of a resource that is not a snapshot."""
        return self.backend(region).tags.get(resource_id, {})

    def is_listed(self, resource_id: str, lag_seconds: float) -> bool:
        """Tell whether the resource is old enough for a listing that lags."""
        return time.monotonic() - self._made.get(resource_id, 0.0) >= lag_seconds

    def note_tags(self, region: str, resource_id: str) -> None:
        """Remember the tags before they change."""
        with self.lock:
            before = dict(self.tags(region, resource_id))
            self._former_tags[resource_id] = (time.monotonic(), before)

    def listed_tags(self, region: str, resource_id: str, lag_seconds: float) -> dict[str, str]:
        """Return the tags as a listing shows them that lags."""
        changed_at, before = self._former_tags.get(resource_id, (0.0, {}))
        is_stale = time.monotonic() - changed_at < lag_seconds
        return before if is_stale else self.tags(region, resource_id)

    def source(self, volume: Volume) -> Source:
        """Return the data about the volume that a snapshot needs."""
        return Source(
            volume.id,
            volume.volume_type,
            volume.size,
            volume.encrypted,
            volume.kms_key_id,
            self._backings.get(volume.id),
            default_key=bool(volume.encrypted) and volume.id not in self._with_own_key,
        )

    def mirror(self, region: str, snapshot: Snapshot) -> None:
        """Add a snapshot to moto, so that moto can create volumes from it."""
        backend = self.backend(region)
        volume = backend.volumes.get(snapshot.source.volume_id)
        if volume is not None:
            backend.snapshots[snapshot.snapshot_id] = MotoSnapshot(
                backend,
                snapshot.snapshot_id,
                volume,
                snapshot.request.description,
                encrypted=snapshot.source.encrypted,
            )

    def forget_snapshot(self, region: str, snapshot_id: str) -> None:
        """Remove a snapshot from moto."""
        self.backend(region).snapshots.pop(snapshot_id, None)

    def clear(self) -> None:
        """Forget every instance and volume."""
        with self.lock:
            ec2_backends[ACCOUNT_ID].reset()
            self._backings.clear()
            self._folders.clear()
            self._instances.clear()
            self._positions.clear()
            self._made.clear()
            self._former_tags.clear()


def _data_devices() -> Iterator[str]:
    """Yield device names for data volumes: /dev/sdf … /dev/sdz, then /dev/sdfa and so on."""
    letters = string.ascii_lowercase[5:]
    yield from (f"/dev/sd{letter}" for letter in letters)
    yield from (f"/dev/sd{a}{b}" for a in letters for b in string.ascii_lowercase)
