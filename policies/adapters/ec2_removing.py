"""EC2 as the `Removing` of policies.ports."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from policies.adapters.clients import Clients
from policies.adapters.ec2 import snapshot
from policies.adapters.telling import told
from policies.adapters.translate import Call
from policies.domain.errors import NotFoundError
from policies.ports import Snapshot
from policies.ports.removing import Image

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

_BATCH = 200  # the most values that AWS takes in the filters of one call
_PAGE = 1000


class Ec2Removing:
    """What deletes snapshots of one account; thread-safe."""

    def __init__(self, clients: Clients) -> None:
        """Keep the clients; AWS is not called yet."""
        self._clients = clients

    def delete(self, region: str, snapshot_id: str) -> None:
        """Delete the snapshot; an answer that gets lost is an error, and the call may be repeated."""
        with self._calling("DeleteSnapshot", region, snapshot_id) as client:
            client.delete_snapshot(SnapshotId=snapshot_id)

    def images_of(self, region: str, snapshot_ids: Sequence[str]) -> list[Image]:
        """Return the account's AMIs that need one of these snapshots, also disabled ones."""
        once, found = list(dict.fromkeys(snapshot_ids)), dict[str, Image]()
        for start in range(0, len(once), _BATCH):
            wanted = once[start : start + _BATCH]
            with self._calling("DescribeImages", region, "") as client:
                pages = client.get_paginator("describe_images").paginate(
                    Owners=["self"],
                    IncludeDisabled=True,
                    Filters=[{"Name": "block-device-mapping.snapshot-id", "Values": wanted}],
                )
                rows = [row for page in pages for row in page.get("Images", [])]
                found |= {made.image_id: made for made in map(_image, rows)}
        return list(found.values())

    def deregister(self, region: str, image_id: str) -> None:
        """Deregister the AMI; its snapshots stay."""
        with self._calling("DeregisterImage", region, image_id) as client:
            client.deregister_image(ImageId=image_id)

    def in_bin_until(self, region: str, snapshot_id: str) -> datetime | None:
        """Return until when the Recycle Bin has the snapshot."""
        try:
            with self._calling("ListSnapshotsInRecycleBin", region, snapshot_id) as client:
                answer = client.list_snapshots_in_recycle_bin(SnapshotIds=[snapshot_id])
                rows = answer.get("Snapshots", [])
        except NotFoundError:
            return None
        return next((row.get("RecycleBinExitTime") for row in rows), None)

    def take_back(self, region: str, snapshot_id: str) -> None:
        """Take the snapshot out of the Recycle Bin."""
        with self._calling("RestoreSnapshotFromRecycleBin", region, snapshot_id) as client:
            client.restore_snapshot_from_recycle_bin(SnapshotId=snapshot_id)

    def lock(
        self, region: str, snapshot_id: str, mode: str, until: datetime, cool_off_hours: int = 0
    ) -> None:
        """Lock the snapshot, or change its lock."""
        given: dict[str, Any] = {"LockMode": mode, "ExpirationDate": until}
        if cool_off_hours:
            given["CoolOffPeriod"] = cool_off_hours
        with self._calling("LockSnapshot", region, snapshot_id) as client:
            client.lock_snapshot(SnapshotId=snapshot_id, **given)

    def unlock(self, region: str, snapshot_id: str) -> None:
        """Take the lock away."""
        with self._calling("UnlockSnapshot", region, snapshot_id) as client:
            client.unlock_snapshot(SnapshotId=snapshot_id)

    def made_on(
        self, region: str, key: str, values: Sequence[str], days: Sequence[date]
    ) -> list[Snapshot]:
        """Return the account's snapshots of these days with one of these values of the tag."""
        made: FilterTypeDef = {"Name": "start-time", "Values": [f"{day:%Y-%m-%d}*" for day in days]}
        found = list[Snapshot]()
        most = _BATCH - len(days)
        for start in range(0, len(values), most):
            tagged: FilterTypeDef = {
                "Name": f"tag:{key}",
                "Values": list(values[start : start + most]),
            }
            with self._calling("DescribeSnapshots", region, key) as client:
                pages = client.get_paginator("describe_snapshots").paginate(
                    OwnerIds=["self"], Filters=[tagged, made], PaginationConfig={"PageSize": _PAGE}
                )
                found += [snapshot(row) for page in pages for row in page.get("Snapshots", [])]
        return found

    @contextmanager
    def _calling(self, action: str, region: str, subject: str) -> Iterator["EC2Client"]:
        """Give the client for one action; translate the SDK's exceptions inside the block to ours."""
        call = Call(action, subject, region)
        with told(call):
            yield self._clients.reading(call)


def _image(row: "ImageTypeDef") -> Image:
    devices = (each.get("Ebs", {}) for each in row.get("BlockDeviceMappings", []))
    return Image(
        image_id=row["ImageId"],
        snapshot_ids=tuple(one["SnapshotId"] for one in devices if "SnapshotId" in one),
        tags={tag["Key"]: tag.get("Value", "") for tag in row.get("Tags", []) if "Key" in tag},
    )
