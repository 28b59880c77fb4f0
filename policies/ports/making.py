"""The Protocol through which recoveries make things in AWS, and take away what they made.

Each order has a token of its own: asked again with the same token, AWS makes nothing new and answers as before, for a
day at least. An image has a name in its place. `dry_run`: nothing is done, and AWS's refusal is raised as it would be
otherwise; the answer is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class VolumeOrder:
    """A volume to be made of a snapshot. Empty or 0: AWS decides.

    `rate`: MiB/s at which AWS initialises it, for money; `iops`, `throughput` as AWS takes them for the type.
    """

    region: str
    snapshot_id: str
    zone: str
    token: str
    tags: Mapping[str, str]
    volume_type: str = ""
    iops: int = 0
    throughput: int = 0
    kms_key_id: str = ""
    rate: int = 0


@dataclass(frozen=True, slots=True)
class RootOrder:
    """A root volume to be replaced by what a snapshot has; the old one stays, detached."""

    region: str
    instance_id: str
    snapshot_id: str
    token: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImageOrder:
    """An image to be registered; `parameters` as RegisterImage takes them, its name and tags apart."""

    region: str
    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """One instance to be started; `parameters` as RunInstances takes them, without image, token, count and tags.

    `tags` are the instance's; `ours` are set on it and on its volumes, too.
    """

    region: str
    image_id: str
    token: str
    tags: Mapping[str, str]
    ours: Mapping[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Initialization:
    """How far AWS has loaded a volume from its snapshot: percent, and the seconds that it says it still needs."""

    progress: int
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class RootTask:
    """A replacement of a root volume: pending, in-progress, failing, succeeded, failed or failed-detached."""

    task_id: str
    instance_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Made:
    """The ids of everything that bears a recovery's tag and exists."""

    volumes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()


class Making(Protocol):
    """Volumes, images and instances of one account, as recoveries make them."""

    def create_volume(self, order: VolumeOrder, *, dry_run: bool = False) -> str:
        """Make a volume; return its id."""

    def attach(
        self, region: str, volume_id: str, instance_id: str, device: str, *, dry_run: bool = False
    ) -> None:
        """Attach a volume. RejectedError if it, or the device, is in use, or they are in different zones."""

    def detach(
        self, region: str, volume_id: str, instance_id: str, *, dry_run: bool = False
    ) -> None:
        """Detach a volume. RejectedError for the root volume of an instance that is not stopped."""

    def set_deletion(self, region: str, instance_id: str, device: str, *, deletes: bool) -> None:
        """Let the end of the instance delete the volume at the device, or not."""

    def tag_made(self, region: str, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set the tags on volumes or instances."""

    def delete_volume(self, region: str, volume_id: str) -> None:
        """Delete a volume that is not attached."""

    def initialization(
        self, region: str, volume_ids: Sequence[str]
    ) -> dict[str, Initialization | None]:
        """Return how far each volume that exists is loaded; None: AWS does not say (yet)."""

    def stop(self, region: str, instance_id: str, *, dry_run: bool = False) -> None:
        """Stop an instance; one that is stopped stays so."""

    def start(self, region: str, instance_id: str) -> None:
        """Start an instance; one that runs goes on."""

    def end(self, region: str, instance_id: str) -> None:
        """End an instance for good, with the volumes that go with it."""

    def replace_root(self, order: RootOrder, *, dry_run: bool = False) -> str:
        """Replace the root volume of a running instance; return the id of the task."""

    def root_task(self, region: str, task_id: str) -> RootTask | None:
        """Return the task; None if AWS does not know it."""

    def register(self, order: ImageOrder, *, dry_run: bool = False) -> str:
        """Register an image; return its id. RejectedError (InvalidAMIName.Duplicate): there is one of this name."""

    def image_state(self, region: str, image_id: str) -> str:
        """Return pending, available, failed or the like; empty: there is no such image."""

    def deregister(self, region: str, image_id: str) -> None:
        """Take an image away; its snapshots stay."""

    def launch(self, order: LaunchOrder, *, dry_run: bool = False) -> str:
        """Start an instance; return its id."""

    def made(self, region: str, recovery: str) -> Made:
        """Return everything that bears the recovery's tag and exists; images only of its name, too."""
