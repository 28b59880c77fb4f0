"""Set-up for the suites of the cloud adapters: instances, faults, the environment of boto3."""

import dataclasses
from pathlib import Path
from typing import Literal, Protocol, TypedDict, Unpack

import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from n2wbackup.demo.aws.client import FaultKind
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.adapters.memory import MemoryCloud
from policies.domain.errors import (
    AnswerLostError,
    AwsError,
    NotPermittedError,
    ThrottledError,
    UnreachableError,
)
from policies.ports import Cloud, Credentials, FireRequest

REGION = "us-east-1"
SERVER = "5f0f7f0c-6a8e-4a52-9b43-1d2f4f1c9a01"
SECONDS = 10.0
Kind = Literal["throttled", "denied", "failed", "lost"]


class Ground(Protocol):
    """The set-up of a test around a cloud."""

    cloud: Cloud

    def add_instance(self, volumes: int) -> tuple[str, ...]: ...
    def add_instance_with_user_data(self, data: str) -> str: ...
    def set_console(self, instance_id: str, early: str, now: str | None) -> None: ...
    def add_terminated(self) -> str: ...
    def add_volume(self) -> str: ...
    def settle(self, state: Literal["completed", "error"]) -> None: ...
    def delete_snapshot(self, snapshot_id: str) -> None: ...
    def fail_fire(self, kind: Kind) -> None: ...
    def fail_reads(self) -> None: ...


class MemoryGround:
    def __init__(self) -> None:
        self.memory = MemoryCloud()
        self.cloud: Cloud = self.memory

    def add_instance(self, volumes: int) -> tuple[str, ...]:
        made = self.memory.add_instance(REGION, volumes)
        return (made.instance_id, *made.volume_ids)

    def add_instance_with_user_data(self, data: str) -> str:
        instance_id = self.memory.add_instance(REGION).instance_id
        self.memory.user_data[instance_id] = data.encode()
        return instance_id

    def set_console(self, instance_id: str, early: str, now: str | None) -> None:
        self.memory.consoles[instance_id] = (early, now)

    def add_terminated(self) -> str:
        instance_id = self.memory.add_instance(REGION).instance_id
        self.memory.terminate(instance_id)
        return instance_id

    def add_volume(self) -> str:
        return self.memory.add_volume(REGION).volume_id

    def settle(self, state: Literal["completed", "error"]) -> None:
        self.memory.advance(state)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self.memory.delete_snapshot(snapshot_id)

    def fail_fire(self, kind: Kind) -> None:
        errors: dict[Kind, AwsError] = {
            "throttled": ThrottledError("Too often."),
            "denied": NotPermittedError("Denied."),
            "failed": AnswerLostError("Failed inside."),
            "lost": AnswerLostError("Lost."),
        }
        self.memory.fail_next("fire", errors[kind], done=kind == "lost")

    def fail_reads(self) -> None:
        self.memory.fail_next("describe", UnreachableError("Failed inside."))


class SimulatedGround:
    def __init__(self, aws: SimulatedAws) -> None:
        self.aws = aws
        self.cloud: Cloud = Ec2Cloud(Clients(Credentials()))

    def add_instance(self, volumes: int) -> tuple[str, ...]:
        made = self.aws.add_instance(REGION, [VolumeSpec()] * volumes)
        return (made.instance_id, *made.volume_ids)

    def add_instance_with_user_data(self, data: str) -> str:
        return self.aws.add_instance(REGION, user_data=data).instance_id

    def set_console(self, instance_id: str, early: str, now: str | None) -> None:
        self.aws.set_console(instance_id, early, now)

    def add_terminated(self) -> str:
        return self.aws.add_instance(REGION, state="terminated").instance_id

    def add_volume(self) -> str:
        return self.aws.add_volume(REGION)

    def settle(self, state: Literal["completed", "error"]) -> None:
        self.aws.settle_snapshots(state)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self.aws.delete_snapshot(snapshot_id, REGION)

    def fail_fire(self, kind: Kind) -> None:
        faults: dict[Kind, FaultKind] = {
            "throttled": "throttle",
            "denied": "denied",
            "failed": "error_500",
            "lost": "lost_answer",
        }
        self.aws.fault("CreateSnapshots", faults[kind])

    def fail_reads(self) -> None:
        self.aws.fault("DescribeSnapshots", "error_503", times=None)


def enter(aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Point this process's SDK to the simulated AWS, without any pauses."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(home))  # without the tester's own ~/.aws
    aws.configure(
        pending_seconds=3600, per_volume_interval_seconds=0, pending_per_volume=0, rate_buckets={}
    )


class Changes(TypedDict, total=False):
    """Fields of a request."""

    tags: dict[str, str]
    description: str
    volume_id: str
    exclude_boot_volume: bool
    exclude_volume_ids: tuple[str, ...]


def wanted(instance_id: str = "", run: str = "a-run", **changes: Unpack[Changes]) -> FireRequest:
    tags = {"Name": "nightly", "n2wbackup:server": SERVER, "n2wbackup:run": run}
    return dataclasses.replace(FireRequest(REGION, tags, "a backup", instance_id), **changes)
