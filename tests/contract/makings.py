"""Set-up for the suites of what recoveries make: a `Making` beside a `Cloud`, with snapshots to restore from."""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.adapters.making import Ec2Making
from policies.adapters.memory_making import MemoryMaker
from policies.ports import Cloud, Credentials
from policies.ports.making import Initialization, Making
from tests.contract.clouds import REGION, SECONDS, wanted

ZONE = "us-east-1a"
OURS = {"n2wbackup:recovery": "a-recovery", "n2wbackup:server": "a-server"}


class Workshop(Protocol):
    """An account with snapshots, and what changes there by itself."""

    cloud: Cloud
    making: Making

    def add_instance(self, volumes: int = 2) -> tuple[str, ...]: ...
    def complete(self) -> None: ...
    def loads(self, volume_id: str) -> None: ...


class MemoryWorkshop:
    def __init__(self) -> None:
        self.memory = MemoryMaker()
        self.cloud: Cloud = self.memory
        self.making: Making = self.memory

    def add_instance(self, volumes: int = 2) -> tuple[str, ...]:
        made = self.memory.add_instance(REGION, volumes)
        return (made.instance_id, *made.volume_ids)

    def complete(self) -> None:
        self.memory.advance()

    def loads(self, volume_id: str) -> None:
        self.memory.progress[volume_id] = Initialization(40)


class SimulatedWorkshop:
    def __init__(self, aws: SimulatedAws) -> None:
        aws.configure(initialization_seconds=3600)
        self.aws = aws
        self.cloud: Cloud = Ec2Cloud(Clients(Credentials()))
        self.making: Making = Ec2Making(Clients(Credentials()))

    def add_instance(self, volumes: int = 2) -> tuple[str, ...]:
        made = self.aws.add_instance(REGION, [VolumeSpec()] * volumes)
        return (made.instance_id, *made.volume_ids)

    def complete(self) -> None:
        self.aws.settle_snapshots("completed")

    def loads(self, volume_id: str) -> None:
        """Its volumes load for an hour."""


def snapshots(shop: Workshop, instance_id: str) -> dict[str, str]:
    """Back the instance up; return the completed snapshots by their volumes."""
    made = shop.cloud.fire(wanted(instance_id), SECONDS)
    shop.complete()
    return {each.volume_id: each.snapshot_id for each in made}


def until(right: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not right():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def volume(shop: Workshop, volume_id: str) -> dict[str, Any]:
    found = shop.cloud.volumes(REGION, [volume_id]).get(volume_id)
    said: dict[str, Any] = json.loads(json.dumps(found.answer)) if found else {}
    return said


def instance(shop: Workshop, instance_id: str) -> dict[str, Any]:
    found = shop.cloud.instances(REGION, [instance_id]).get(instance_id)
    said: dict[str, Any] = json.loads(json.dumps(found.answer)) if found else {}
    return said


def is_state(shop: Workshop, resource_id: str, state: str) -> bool:
    """Tell whether DescribeVolumes or DescribeInstances shows the state."""
    if resource_id.startswith("vol-"):
        return bool(volume(shop, resource_id).get("State") == state)
    return bool(instance(shop, resource_id).get("State", {}).get("Name") == state)


def device_of(shop: Workshop, instance_id: str, volume_id: str) -> dict[str, Any]:
    rows = instance(shop, instance_id).get("BlockDeviceMappings", [])
    found: list[dict[str, Any]] = [row for row in rows if row["Ebs"]["VolumeId"] == volume_id]
    return found[0] if found else {}
