"""A restore point in a bed, what AWS has, and the moments of calls: what recoveries, proofs and deletions share.

A moment is "before CreateVolume" or "after CreateVolume": AWS holds the call up, and has not done it yet, or has.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from tests.contract.aws_clients import ec2
from tests.system.faults.bed import Bed
from tests.system.faults.moments import HELD_SECONDS

WORKER = "n2wbackup worker work"
WAIT_SECONDS = 150.0
HINT_SECONDS = 1.0
_ENDING = {"terminated", "shutting-down"}
_QUEUES = {"tick": "tick"}


@dataclass(frozen=True)
class Standing:
    """What the account has in AWS: volumes, instances that live, images, snapshots."""

    volumes: frozenset[str]
    instances: frozenset[str]
    images: frozenset[str]
    snapshots: frozenset[str]

    def beyond(self, earlier: "Standing") -> list[str]:
        """Return what is there now, and was not earlier."""
        return sorted(self.everything - earlier.everything)

    @property
    def everything(self) -> frozenset[str]:
        return self.volumes | self.instances | self.images | self.snapshots


def standing(bed: Bed, region: str = "us-east-1") -> Standing:
    """Ask the simulated AWS what it has in the region; its snapshots of all regions are looked at."""
    client = ec2(bed.product.aws, region)
    rows = [row for of in client.describe_instances()["Reservations"] for row in of["Instances"]]
    live = [row["InstanceId"] for row in rows if row["State"]["Name"] not in _ENDING]
    images = client.describe_images(Owners=["self"])["Images"]
    return Standing(
        frozenset(row["VolumeId"] for row in client.describe_volumes()["Volumes"]),
        frozenset(live),
        frozenset(row["ImageId"] for row in images),
        frozenset(snapshot.snapshot_id for snapshot in bed.product.aws.snapshots()),
    )


def volumes_of(bed: Bed, instance: str) -> dict[str, str]:
    """Return the volumes of an instance, by their devices."""
    answer = ec2(bed.product.aws).describe_instances(InstanceIds=[instance])
    rows = answer["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    return {row["DeviceName"]: row["Ebs"]["VolumeId"] for row in rows}


def at(moment: str) -> tuple[str, bool]:
    """Return the call of a moment, and whether AWS has done it."""
    when, _, action = moment.partition(" ")
    assert when in {"before", "after"}, moment
    return action, when == "after"


def hold_up(bed: Bed, moment: str, **more: Any) -> None:
    """Let the next call of the moment wait for `kill_worker`, or for whoever clears the faults."""
    action, deed = at(moment)
    bed.product.aws.fault(action, "hang", seconds=HELD_SECONDS, deed=deed, **more)


def is_held(bed: Bed, moment: str) -> bool:
    """Tell whether AWS holds it up now."""
    return any(call.outcome == "serving" for call in bed.product.aws.calls(at(moment)[0]))


def until(
    bed: Bed, condition: Callable[[], object], what: str, task: str = "", seconds: float = 0.0
) -> None:
    """Return as soon as the condition holds; meanwhile a tick is sent again and again, as beat does it later."""
    ends, sent = time.monotonic() + (seconds or WAIT_SECONDS), 0.0
    while not condition():
        now = time.monotonic()
        if now > ends:
            tail = bed.product.log.read_text()[-3000:]
            raise TimeoutError(f"not within its time: {what}; {tail}")
        if task and now - sent > HINT_SECONDS:
            hint(bed, task)
            sent = now
        time.sleep(0.1)


def hint(bed: Bed, task: str) -> None:
    """Send a tick now, if the broker is there already; what beat sends comes too, and is harmless."""
    with (
        suppress(OperationalError),
        Celery(broker=f"redis+socket://{bed.memory()}/broker.sock") as app,
    ):
        app.send_task(f"policies.tasks.{task}", queue=_QUEUES.get(task, "work"), expires=10)


def kill_worker(bed: Bed, moment: str = "") -> None:
    """SIGKILL the worker, in the moment if there is one; return when another one works."""
    if moment:
        bed.wait_until(lambda: is_held(bed, moment), moment)
    had = bed.pids(WORKER)
    bed.kill(WORKER)
    bed.product.aws.clear_faults()
    until(bed, lambda: set(bed.pids(WORKER)) - set(had), "another worker")


def kill_and_start(bed: Bed, moment: str) -> None:
    """SIGKILL everything in the moment, lose the memory, and start the server again."""
    bed.wait_until(lambda: is_held(bed, moment), moment)
    bed.crash("")
    bed.product.aws.clear_faults()
    bed.restart()
    bed.wait_until(lambda: bool(bed.pids(WORKER)), "a worker")


def earlier(**by: float) -> str:
    """Return a moment that is so long ago, as the server's SQLite has it."""
    return (datetime.now(tz=UTC) - timedelta(**by)).strftime("%Y-%m-%d %H:%M:%S.%f")


def holds_left(bed: Bed, key: str) -> Iterator[str]:
    """Yield what is wrong if somebody still holds a restore point with this key."""
    sql = "SELECT count(*) FROM policies_hold WHERE key = ? AND released_at IS NULL"
    if bed.query(sql, key)[0][0]:
        yield "a hold is left"
