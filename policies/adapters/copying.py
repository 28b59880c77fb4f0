"""Copies of snapshots in EC2, as `Copies` of policies.ports."""

from typing import TYPE_CHECKING, Any

from policies.adapters import limits
from policies.adapters.clients import Clients
from policies.adapters.ec2 import snapshot
from policies.adapters.telling import told
from policies.adapters.translate import Call
from policies.ports import Snapshot
from policies.ports.copies import CopyRequest

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, PaginatorConfigTypeDef

_PAGES: "PaginatorConfigTypeDef" = {"PageSize": 200}


class Ec2Copies:
    """One account's copies; thread-safe."""

    def __init__(self, clients: Clients) -> None:
        """Keep the clients; AWS is not called yet."""
        self._clients = clients

    def copy(self, request: CopyRequest) -> str:
        """Start the copy, in one attempt: CopySnapshot takes no client token, so a second one makes a second copy."""
        call = Call("CopySnapshot", request.snapshot_id, request.region, creates=True)
        # An empty KMS key or 0 minutes would be refused.
        wanted: dict[str, Any] = {}
        if request.kms_key:
            wanted |= {"Encrypted": True, "KmsKeyId": request.kms_key}
        if request.completion_minutes:
            wanted["CompletionDurationMinutes"] = request.completion_minutes
        with told(call):
            answer = self._clients.once(call).copy_snapshot(
                SourceRegion=request.source_region,
                SourceSnapshotId=request.snapshot_id,
                Description=limits.description(request.description),
                TagSpecifications=[
                    {"ResourceType": "snapshot", "Tags": limits.rows(request.tags)},
                ],
                **wanted,
            )
            return answer["SnapshotId"]

    def share(self, region: str, snapshot_id: str, aws_account_id: str) -> None:
        """Let another AWS account copy the snapshot."""
        self._permit(region, snapshot_id, {"Add": [{"UserId": aws_account_id}]})

    def unshare(self, region: str, snapshot_id: str, aws_account_id: str) -> None:
        """Take that back; nothing happens if it was not shared."""
        self._permit(region, snapshot_id, {"Remove": [{"UserId": aws_account_id}]})

    def _permit(self, region: str, snapshot_id: str, change: Any) -> None:  # noqa: ANN401 - as the SDK takes it
        call = Call("ModifySnapshotAttribute", snapshot_id, region)
        with told(call):
            self._clients.reading(call).modify_snapshot_attribute(
                SnapshotId=snapshot_id,
                Attribute="createVolumePermission",
                CreateVolumePermission=change,
            )

    def tagged(self, region: str, key: str, value: str = "") -> list[Snapshot]:
        """Return this account's own snapshots with the tag; without a value, whatever its value."""
        call = Call("DescribeSnapshots", value or key, region)
        wanted: FilterTypeDef = (
            {"Name": f"tag:{key}", "Values": [value]}
            if value
            else {"Name": "tag-key", "Values": [key]}
        )
        with told(call):
            pages = (
                self._clients.reading(call)
                .get_paginator("describe_snapshots")
                .paginate(OwnerIds=["self"], Filters=[wanted], PaginationConfig=_PAGES)
            )
            return [snapshot(row) for page in pages for row in page.get("Snapshots", [])]
