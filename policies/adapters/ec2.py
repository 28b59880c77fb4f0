"""EC2 as the `Cloud` of policies.ports: all calls of the services to AWS go through here."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from policies.adapters import aiming, firing, limits
from policies.adapters.clients import CONNECTIONS, Clients
from policies.adapters.telling import told
from policies.adapters.translate import Call
from policies.domain.errors import RejectedError, ThrottledError, UnreachableError
from policies.ports import Aimed, Answer, Caller, FireRequest, Instance, Snapshot, Volume

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        FilterTypeDef,
        InstanceSpecificationTypeDef,
        InstanceTypeDef,
        PaginatorConfigTypeDef,
        SnapshotInfoTypeDef,
        SnapshotResponseTypeDef,
        SnapshotTypeDef,
        TagSpecificationTypeDef,
        VolumeTypeDef,
    )

_BATCH = 200  # the most values that AWS takes in the filters of one call
_PAGES: "PaginatorConfigTypeDef" = {"PageSize": 200}


class Ec2Cloud:
    """One account's EC2; thread-safe, and calls run in parallel."""

    def __init__(self, clients: Clients) -> None:
        """Keep the clients; AWS is not called yet."""
        self._clients = clients

    def renew(self, seconds: float) -> None:
        """Get credentials for `fire` that are valid for so many seconds; `fire` itself never does.

        ThrottledError: they expire too soon, and newer ones are not available yet.
        """
        with told(Call("Getting the account's AWS credentials", "", "")):
            self._clients.renew(seconds)

    def warm(self, region: str, connections: int) -> None:
        """Open so many connections (at most 100) for `fire`, also if AWS has closed idle ones.

        Calls DescribeSnapshots on all of them at once, as that permission is needed anyway; a throttled
        call has opened its connection, too.
        """
        call = Call("DescribeSnapshots", "", region)
        with told(call):
            client = self._clients.firing(call)
        if connections > 0:
            firing.open_connections(min(connections, CONNECTIONS), lambda: _knock(client, call))

    def prove(self, request: FireRequest) -> None:
        """Return if the request would be permitted (DryRun); if not, raise AWS's answer."""
        call = _call(request, creates=False)
        with _dry(call):
            _ask(self._clients.reading(call), request, dry_run=True)

    def aim(self, request: FireRequest) -> Aimed:
        """Prepare and sign the call, without sending anything; sent much later, it is signed once more.

        The timeout is for each wait on the connection, not for the whole answer. If no warm connection
        is left, add up to 2 s for each address of AWS's endpoint.
        """
        call = _call(request, creates=True)
        with told(call):
            client = self._clients.firing(call)
            aimed = aiming.Aimed(client, call.action, lambda: _ask(client, request, dry_run=False))

        def send(timeout_seconds: float) -> Answer:
            if timeout_seconds <= 0:
                raise UnreachableError(f"{call} was not sent: no time was left for it; try again.")
            with told(call):
                read = aimed.send(timeout_seconds)
            return lambda: _created(call, request, read)

        return send

    def fire(self, request: FireRequest, timeout_seconds: float) -> list[Snapshot]:
        """Create the snapshots, in one attempt. AnswerLostError: AWS may have created them."""
        return self.aim(request)(timeout_seconds)()

    def describe(self, region: str, snapshot_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Return the snapshots that exist in this account, by id; at most 200 per call."""
        found: dict[str, Snapshot] = {}
        for batch in _batches(snapshot_ids):
            call = Call("DescribeSnapshots", _several(batch, "snapshots"), region)
            for row in self._snapshots(call, [_filter("snapshot-id", batch)]):
                found[row.snapshot_id] = row
        return found

    def of_run(self, region: str, server: str, run: str) -> list[Snapshot]:
        """Return the snapshots with this server's and this run's tags."""
        call = Call("DescribeSnapshots", f"run {run}", region)
        tags = {limits.SERVER_TAG: server, limits.RUN_TAG: run}
        return self._snapshots(call, [_filter(f"tag:{key}", [tags[key]]) for key in tags])

    def of_server(self, region: str, server: str) -> list[Snapshot]:
        """Return all snapshots with this server's tag, whichever run created them."""
        call = Call("DescribeSnapshots", f"server {server}", region)
        return self._snapshots(call, [_filter(f"tag:{limits.SERVER_TAG}", [server])])

    def _snapshots(self, call: Call, filters: "list[FilterTypeDef]") -> list[Snapshot]:
        with told(call):
            pages = (
                self._clients.reading(call)
                .get_paginator("describe_snapshots")
                .paginate(OwnerIds=["self"], Filters=filters, PaginationConfig=_PAGES)
            )
            return [snapshot(row) for page in pages for row in page.get("Snapshots", [])]

    def tag(self, region: str, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set the tags on the snapshots; in each batch of 200, on all or none."""
        for batch in _batches(snapshot_ids):
            call = Call("CreateTags", _several(batch, "snapshots"), region)
            with told(call):
                self._clients.reading(call).create_tags(Resources=batch, Tags=limits.rows(tags))

    def instances(self, region: str, instance_ids: Sequence[str]) -> dict[str, Instance]:
        """Return the instances that exist, by id; terminated ones are left out."""
        found: dict[str, Instance] = {}
        for batch in _batches(instance_ids):
            call = Call("DescribeInstances", _several(batch, "instances"), region)
            rows = self._instances(call, [_filter("instance-id", batch)])
            found |= {made.instance_id: made for made in rows}
        return found

    def all_instances(self, region: str) -> list[Instance]:
        """Return every instance of the region, by id in order; terminated ones are left out."""
        rows = self._instances(Call("DescribeInstances", "", region), [])
        return sorted(rows, key=attrgetter("instance_id"))

    def _instances(self, call: Call, filters: "list[FilterTypeDef]") -> list[Instance]:
        with told(call):
            pages = (
                self._clients.reading(call)
                .get_paginator("describe_instances")
                .paginate(Filters=filters, PaginationConfig=_PAGES)
            )
            of = (each for page in pages for each in page.get("Reservations", []))
            made = [
                _instance(row, reservation.get("OwnerId", ""), call.region)
                for reservation in of
                for row in reservation.get("Instances", [])
            ]
        return [each for each in made if each.state != "terminated"]

    def volumes(self, region: str, volume_ids: Sequence[str]) -> dict[str, Volume]:
        """Return the volumes that exist, by id."""
        found: dict[str, Volume] = {}
        for batch in _batches(volume_ids):
            call = Call("DescribeVolumes", _several(batch, "volumes"), region)
            rows = self._volumes(call, [_filter("volume-id", batch)])
            found |= {made.volume_id: made for made in rows}
        return found

    def all_volumes(self, region: str) -> list[Volume]:
        """Return every volume of the region, by id in order."""
        rows = self._volumes(Call("DescribeVolumes", "", region), [])
        return sorted(rows, key=attrgetter("volume_id"))

    def _volumes(self, call: Call, filters: "list[FilterTypeDef]") -> list[Volume]:
        with told(call):
            pages = (
                self._clients.reading(call)
                .get_paginator("describe_volumes")
                .paginate(Filters=filters, PaginationConfig=_PAGES)
            )
            return [_volume(row, call.region) for page in pages for row in page.get("Volumes", [])]

    def user_data_hash(self, region: str, instance_id: str) -> str:
        """Return the SHA-256 of the user data, which may contain secrets and is not kept."""
        call = Call("DescribeInstanceAttribute", instance_id, region)
        with told(call):
            answer = self._clients.reading(call).describe_instance_attribute(
                InstanceId=instance_id, Attribute="userData"
            )
            data = base64.b64decode(answer.get("UserData", {}).get("Value", ""))
        return hashlib.sha256(data).hexdigest() if data else ""

    def console_output(self, region: str, instance_id: str, *, latest: bool) -> str:
        """Return what the console showed; bytes that are no UTF-8 are replaced."""
        call = Call("GetConsoleOutput", instance_id, region)
        with told(call):
            client = self._clients.reading(call)
            answer = client.get_console_output(InstanceId=instance_id, Latest=latest)
        return answer.get("Output", "")

    def caller(self, region: str) -> Caller:
        """Return the caller as AWS sees it; every valid identity may ask for it."""
        call = Call("GetCallerIdentity", "", region)
        with told(call):
            answer = self._clients.asking(call).get_caller_identity()
            return Caller(answer["Account"], answer["Arn"])

    def may_list(self, action: str, region: str) -> None:
        """Return if DescribeInstances, DescribeVolumes or DescribeSnapshots is permitted (DryRun)."""
        call = Call(action, "", region)
        with _dry(call):
            client = self._clients.reading(call)
            asked: dict[str, Callable[[], object]] = {
                "DescribeInstances": lambda: client.describe_instances(DryRun=True),
                "DescribeVolumes": lambda: client.describe_volumes(DryRun=True),
                "DescribeSnapshots": lambda: client.describe_snapshots(
                    OwnerIds=["self"], DryRun=True
                ),
            }
            asked[action]()

    def may_tag(self, region: str, snapshot_id: str, tags: Mapping[str, str]) -> None:
        """Return if these tags may be set on the snapshot (DryRun)."""
        call = Call("CreateTags", snapshot_id, region)
        with _dry(call):
            client = self._clients.reading(call)
            client.create_tags(Resources=[snapshot_id], Tags=limits.rows(tags), DryRun=True)

    def any_instance(self, region: str) -> str:
        """Return the id of any instance, or an empty string."""
        call = Call("DescribeInstances", "", region)
        states = ["pending", "running", "stopping", "stopped"]
        with told(call):
            pages = (
                self._clients.reading(call)
                .get_paginator("describe_instances")
                .paginate(Filters=[_filter("instance-state-name", states)], PaginationConfig=_PAGES)
            )
            reservations = (each for page in pages for each in page.get("Reservations", []))
            rows = (row for of in reservations for row in of.get("Instances", []))
            return next((row["InstanceId"] for row in rows), "")

    def any_volume(self, region: str) -> str:
        """Return the id of any volume, or an empty string."""
        call = Call("DescribeVolumes", "", region)
        with told(call):
            pages = (
                self._clients.reading(call)
                .get_paginator("describe_volumes")
                .paginate(PaginationConfig=_PAGES)
            )
            return next((row["VolumeId"] for page in pages for row in page.get("Volumes", [])), "")

    def any_snapshot(self, region: str, server: str) -> str:
        """Return the id of any snapshot with this server's tag, or an empty string."""
        found = self.of_server(region, server)
        return found[0].snapshot_id if found else ""


@contextmanager
def _dry(call: Call) -> Iterator[None]:
    """Return if AWS would have permitted the call inside, made with DryRun; if not, raise its answer."""
    try:
        with told(call):
            yield
    except RejectedError as error:
        if error.code == "DryRunOperation":
            return
        raise
    raise RejectedError(
        f"{call} failed: the endpoint ignored DryRun and may have created or changed snapshots; look for "
        "them, and use an endpoint that supports DryRun."
    )


def _call(request: FireRequest, *, creates: bool) -> Call:
    if request.instance_id:
        return Call("CreateSnapshots", request.instance_id, request.region, creates)
    return Call("CreateSnapshot", request.volume_id, request.region, creates)


def _several(ids: Sequence[str], kind: str) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} {kind}"


def _knock(client: "EC2Client", call: Call) -> None:
    """Ask for one snapshot that does not exist."""
    with suppress(ThrottledError), told(call):
        client.describe_snapshots(
            OwnerIds=["self"], Filters=[_filter("snapshot-id", ["snap-00000000"])], MaxResults=5
        )


def _ask(client: "EC2Client", request: FireRequest, *, dry_run: bool) -> object:
    tags: list[TagSpecificationTypeDef] = [
        {"ResourceType": "snapshot", "Tags": limits.rows(request.tags)}
    ]
    description = limits.description(request.description)
    if not request.instance_id:
        return client.create_snapshot(
            VolumeId=request.volume_id,
            Description=description,
            TagSpecifications=tags,
            DryRun=dry_run,
        )
    return client.create_snapshots(
        InstanceSpecification=_specification(request),
        Description=description,
        TagSpecifications=tags,
        DryRun=dry_run,
    )


def _created(call: Call, request: FireRequest, read: Callable[[], Any]) -> list[Snapshot]:
    with told(call):
        answer = read()
        rows: list[Any] = answer["Snapshots"] if request.instance_id else [answer]
        # A row without its volume cannot be told from the others: as without an answer, its tag has to tell.
        volumes = [request.volume_id or row["VolumeId"] for row in rows]
        made = zip(rows, volumes, strict=True)
        return [replace(snapshot(row), volume_id=volume) for row, volume in made]


def _specification(request: FireRequest) -> "InstanceSpecificationTypeDef":
    specification: InstanceSpecificationTypeDef = {"InstanceId": request.instance_id}
    if request.exclude_boot_volume:
        specification["ExcludeBootVolume"] = True
    if request.exclude_volume_ids:
        specification["ExcludeDataVolumeIds"] = list(request.exclude_volume_ids)
    return specification


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    once = list(dict.fromkeys(ids))
    for start in range(0, len(once), _BATCH):
        yield once[start : start + _BATCH]


def _filter(name: str, values: Sequence[str]) -> "FilterTypeDef":
    """Return a filter for exactly these values; AWS would read * and ? as wildcards."""
    wild = str.maketrans({"\\": r"\\", "*": r"\*", "?": r"\?"})
    return {"Name": name, "Values": [value.translate(wild) for value in values]}


def snapshot(row: "SnapshotTypeDef | SnapshotInfoTypeDef | SnapshotResponseTypeDef") -> Snapshot:
    """Return AWS's row. Only its id is required: without a state, the snapshot is still pending."""
    progress = row.get("Progress", "").rstrip("%")
    return Snapshot(
        snapshot_id=row["SnapshotId"],
        volume_id=row.get("VolumeId", ""),
        state=row.get("State", "pending"),
        progress=int(progress) if progress.isdecimal() else 0,
        message=str(row.get("StateMessage", "")),
        tags={tag["Key"]: tag.get("Value", "") for tag in row.get("Tags", []) if "Key" in tag},
        started_at=_moment(row, "StartTime"),
        completed_at=_moment(row, "CompletionTime"),
        size_gib=int(row.get("VolumeSize", 0)),
    )


def _moment(row: Mapping[str, Any], key: str) -> datetime | None:
    found = row.get(key)
    return found if isinstance(found, datetime) else None


def _instance(row: "InstanceTypeDef", aws_account_id: str, region: str) -> Instance:
    """Return AWS's row. An instance without a state is there; a device without a name is no root."""
    attached = [
        (each.get("DeviceName", ""), each["Ebs"]["VolumeId"])
        for each in row.get("BlockDeviceMappings", [])
        if "VolumeId" in each.get("Ebs", {})
    ]
    device = row.get("RootDeviceName", "")
    root = next((volume for name, volume in attached if name and name == device), "")
    others = tuple(volume for _, volume in attached if volume != root)
    return Instance(
        instance_id=row["InstanceId"],
        region=region,
        aws_account_id=aws_account_id,
        state=row.get("State", {}).get("Name", ""),
        root_volume_id=root,
        volume_ids=(root, *others) if root else others,
        answer=_plain(row),
    )


def _volume(row: "VolumeTypeDef", region: str) -> Volume:
    attached = [each["InstanceId"] for each in row.get("Attachments", []) if "InstanceId" in each]
    return Volume(
        volume_id=row["VolumeId"],
        region=region,
        volume_type=row.get("VolumeType", ""),
        instance_id=attached[0] if attached else "",
        answer=_plain(row),
    )


def _plain(row: object) -> Any:  # noqa: ANN401 - whatever JSON has
    """Return what AWS said as JSON values; times are in ISO 8601."""
    return json.loads(json.dumps(row, default=str))
