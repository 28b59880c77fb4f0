"""Real workers, killed with SIGKILL at each step of each kind of recovery, before AWS's deed and after it.

Each time another worker goes on: nothing is made twice, nothing is left, and the recovery is done.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.contract.aws_clients import ec2
from tests.ground import processes
from tests.system import product as products
from tests.system.product import Product

pytestmark = [pytest.mark.real, pytest.mark.once, pytest.mark.timeout(600), pytest.mark.lasts(200)]
HANG = 3600.0
WORKER = "n2wbackup worker work"
KINDS: dict[str, tuple[list[str], list[str]]] = {
    "volume": (
        ["--volume", "{data}", "--attach", "{instance}:/dev/sdx", "--confirm", "{instance}"],
        ["CreateVolume", "AttachVolume"],
    ),
    "in place": (
        ["--in-place", "--volume", "{data}", "--stop", "--confirm", "{instance}"],
        [
            *("CreateVolume", "StopInstances", "DetachVolume", "AttachVolume"),
            *("ModifyInstanceAttribute", "CreateTags", "StartInstances"),
        ],
    ),
    "root in place": (
        ["--in-place", "--volume", "{root}", "--confirm", "{instance}"],
        ["CreateReplaceRootVolumeTask", "CreateTags"],
    ),
    "instance": (["--instance"], ["RegisterImage", "RunInstances", "DeregisterImage"]),
}


class Place:
    """A server with one backup of an instance with two volumes."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.run = product.start_run()
        product.wait_for_end(self.run)
        self.client = ec2(product.aws)
        self.root, self.data = self.volumes_of(product.instance)

    def volumes_of(self, instance: str) -> list[str]:
        answer = self.client.describe_instances(InstanceIds=[instance])
        rows = answer["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
        return [row["Ebs"]["VolumeId"] for row in sorted(rows, key=lambda row: row["DeviceName"])]

    def everything(self) -> tuple[set[str], set[str], set[str]]:
        """Return the volumes, instances and images of the account."""
        reservations = self.client.describe_instances()["Reservations"]
        instances = {row["InstanceId"] for of in reservations for row in of["Instances"]}
        volumes = {row["VolumeId"] for row in self.client.describe_volumes()["Volumes"]}
        images = {row["ImageId"] for row in self.client.describe_images(Owners=["self"])["Images"]}
        return volumes, instances, images

    def show(self, recovery: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.product.succeed("show_recovery", recovery, "--json")
        )
        return found

    def state(self, recovery: str) -> str:
        sql = "SELECT state FROM policies_recovery WHERE id = ?"
        return str(self.product.query(sql, UUID(recovery).hex)[0][0])

    def is_held_up(self, action: str) -> bool:
        return any(call.outcome == "serving" for call in self.product.aws.calls(action))

    def claims_run_out(self, recovery: str) -> None:
        """Let the claim of the worker that was killed be over."""
        earlier = (datetime.now(tz=UTC) - timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
        sql = "UPDATE policies_recovery SET next_at = ? WHERE id = ? AND ended_at IS NULL"
        self.product.query(sql, earlier, UUID(recovery).hex)

    def kill_in(self, action: str) -> None:
        """SIGKILL the worker while AWS holds its call up, before it has done the deed or after it."""
        aws = self.product.aws
        processes.wait_until(lambda: self.is_held_up(action), seconds=60, what=action)
        self.product.kill(WORKER)
        aws.clear_faults()
        processes.wait_until(
            lambda: bool(self.product.pids(WORKER)), seconds=60, what="another worker"
        )


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with (
        processes.folder() as folder,
        products.serving(
            folder / "home",
            folder,
            policy={"scripts": {"enabled": False}, "success_requires": "crash"},
        ) as product,
    ):
        product.aws.configure(pending_seconds=0.2, initialization_seconds=1.0)
        yield Place(product)


@pytest.mark.parametrize("deed", [False, True], ids=["before the deed", "after it"])
@pytest.mark.parametrize("kind", KINDS)
def test_workers_that_are_killed_at_each_step_make_nothing_twice(
    place: Place, kind: str, deed: bool
) -> None:
    words, actions = KINDS[kind]
    instance = place.product.instance
    volumes_now = place.volumes_of(instance)
    ids = {"instance": instance, "root": place.root, "data": place.data}
    before = place.everything()
    place.product.aws.fault(actions[0], "hang", seconds=HANG, deed=deed)
    asked = [word.format(**ids) for word in words]
    recovery = place.product.succeed("restore", place.run, *asked).split()[1]

    for action, following in zip(actions, [*actions[1:], ""], strict=True):
        place.kill_in(action)
        if following:
            place.product.aws.fault(following, "hang", seconds=HANG, deed=deed)
        place.claims_run_out(recovery)
    processes.wait_until(
        lambda: place.state(recovery) not in {"queued", "working", "initializing"},
        seconds=90,
        what=f"the end of {kind}",
    )

    found = place.show(recovery)
    assert found["state"] == "done", found["reason"]
    volumes, instances, images = place.everything()
    assert len(volumes - before[0]) == (2 if kind == "instance" else 1)
    assert len(instances - before[1]) == (1 if kind == "instance" else 0)
    assert (images, before[0] - volumes) == (before[2], set())
    made = {row["resource"] for row in found["created"] if row["fate"] == "made"}
    assert volumes - before[0] <= made
    assert all(row["progress"] == 100 for row in found["created"] if row["from_snapshot"])

    place.product.succeed("undo_recovery", recovery, "--confirm", recovery)
    place.claims_run_out(recovery)
    processes.wait_until(
        lambda: place.state(recovery) != "working", seconds=90, what=f"{kind} undone"
    )
    assert place.show(recovery)["state"] == "undone"
    assert place.volumes_of(instance) == volumes_now
    assert place.everything()[0] == before[0]
