"""What the simulated AWS knows of restored volumes, of images, of instances that it started, beside moto.

Nothing here has a timer: each state is computed from the clock at each read, as with snapshots.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.options import Options

_COMPLETE = 100


@dataclass(frozen=True, slots=True)
class Loading:
    """A volume that was made of a snapshot, and when; `rate`: it was paid for."""

    snapshot_id: str
    since: float
    seconds: float
    rate: int = 0

    def progress(self) -> int:
        """Return how much of it is loaded, in percent."""
        waited = time.monotonic() - self.since
        return int(min(1.0, waited / self.seconds) * _COMPLETE) if self.seconds > 0 else _COMPLETE

    def remaining(self) -> int:
        """Return the seconds that it still needs."""
        return max(0, round(self.since + self.seconds - time.monotonic()))


@dataclass(slots=True)
class RootTask:
    """A replacement of a root volume; `done`: the volumes have been exchanged."""

    task_id: str
    region: str
    instance_id: str
    snapshot_id: str
    since: float
    seconds: float
    tags: dict[str, str]
    done: bool = False
    loading_seconds: float = 0.0

    def is_due(self) -> bool:
        """Tell whether AWS would have exchanged the volumes by now."""
        return time.monotonic() - self.since >= self.seconds


@dataclass(slots=True)
class Image:
    """A registered image, with its parameters in EC2's XML names."""

    image_id: str
    region: str
    name: str
    since: float
    seconds: float
    fields: dict[str, Any]
    mappings: list[dict[str, Any]]
    tags: dict[str, str]
    is_disabled: bool = False

    def state(self) -> str:
        if self.is_disabled:
            return "disabled"
        return "available" if time.monotonic() - self.since >= self.seconds else "pending"

    def snapshot_ids(self) -> list[str]:
        return [str(each["ebs"]["snapshotId"]) for each in self.mappings]


@dataclass(slots=True)
class Makings:
    """All of it, for every region."""

    loading: dict[str, Loading] = field(default_factory=dict)  # by volume
    creating: dict[str, float] = field(default_factory=dict)  # by volume: available from then on
    turning: dict[str, tuple[float, str, int]] = field(default_factory=dict)  # by instance
    shapes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by instance, as XML
    images: dict[str, Image] = field(default_factory=dict)
    tasks: dict[str, RootTask] = field(default_factory=dict)
    lineage: dict[str, set[str]] = field(default_factory=dict)  # by instance: its root volumes
    origins: dict[str, str] = field(
        default_factory=dict
    )  # by volume: the volume behind its snapshot
    tokens: dict[tuple[str, str, str], tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def once(self, call: ApiCall, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the answer of the first call with the same token; make it, if this is the first one.

        IdempotentParameterMismatch if the other parameters differ.
        """
        token = call.text("ClientToken")
        if not token:
            return make()
        said = json.dumps(
            {k: v for k, v in call.parameters.items() if k != "DryRun"}, sort_keys=True
        )
        key = (call.region, call.action, token)
        known = self.tokens.get(key)
        if known is None:
            known = self.tokens[key] = (said, make())
        elif known[0] != said:
            message = f"The client token '{token}' was used before with other parameters."
            raise ApiError("IdempotentParameterMismatch", message)
        return known[1]

    def volume_state(self, volume_id: str, state: str) -> str:
        """Return the state of a volume, which moto calls so."""
        return "creating" if time.monotonic() < self.creating.get(volume_id, 0.0) else state

    def instance_state(self, instance_id: str, state: str, code: int) -> tuple[str, int]:
        """Return the state of an instance, which moto calls so: stopping, pending for a moment."""
        until, shown, shown_code = self.turning.get(instance_id, (0.0, "", 0))
        return (shown, shown_code) if time.monotonic() < until else (state, code)

    def turn(self, instance_id: str, shown: str, code: int, options: Options) -> None:
        """Let the instance be between two states for a moment."""
        self.turning[instance_id] = (time.monotonic() + options.instance_seconds, shown, code)

    def images_of(self, snapshot_id: str) -> list[Image]:
        """Return the images that a snapshot belongs to."""
        return [each for each in self.images.values() if snapshot_id in each.snapshot_ids()]

    def shape(self, instance_id: str) -> Mapping[str, Any]:
        """Return what DescribeInstances says besides of an instance that RunInstances has started."""
        return self.shapes.get(instance_id, {})
