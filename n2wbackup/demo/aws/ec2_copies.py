"""EC2's actions that copy snapshots to other regions, and share them with other AWS accounts.

A copy is asked for in the region, and with the key, where it is to be. CopySnapshot takes no client token: two
equal calls make two copies.
"""

import re

from n2wbackup.demo.aws import tagging
from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.snapshots import Copying, Request, Snapshot

DEFAULT_KEY = "arn:aws:kms:{region}:{account}:alias/aws/ebs"
SHORTEST_MINUTES, LONGEST_MINUTES, STEP_MINUTES = 15, 2_880, 15
_ACCOUNT = re.compile(r"\d{12}")


def copy_snapshot(simulator: Simulator, call: ApiCall, *, fails: bool = False) -> dict[str, object]:
    """Start a copy of a snapshot of the caller's, or of one that is shared with the caller."""
    region, snapshot_id = _required(call, "SourceRegion"), _required(call, "SourceSnapshotId")
    origin = simulator.snapshots.get(region, snapshot_id)
    if origin is None or call.caller not in {origin.request.owner, *origin.shared_with}:
        message = f"The snapshot '{snapshot_id}' does not exist."
        raise ApiError("InvalidSnapshot.NotFound", message)
    how = _how(call, origin, region)
    if origin.state() != "completed":
        message = f"Snapshot is in invalid state - {origin.state()}"
        raise ApiError("IncorrectState", message)
    tags = tagging.at_creation(call, "snapshot")
    simulator.refuse_dry_run(call)
    request = Request(call.region, "", call.text("Description"), fails, call.caller)
    made = simulator.snapshots.copy_of(origin, request, tags, how, simulator.options)
    return {"snapshotId": made.snapshot_id, "tagSet": tagging.rendered(made.tags)}


def _how(call: ApiCall, origin: Snapshot, region: str) -> Copying:
    """Return what the copy is to be; AWS's error if the call's parameters do not fit together."""
    key, asked = call.text("KmsKeyId"), call.flag("Encrypted")
    if key and not asked:
        message = "KmsKeyId can only be given together with Encrypted."
        raise ApiError("InvalidParameterDependency", message)
    encrypted = asked or origin.source.encrypted
    if encrypted and region != call.region and not call.text("PresignedUrl"):
        raise ApiError("MissingParameter", "The request must contain the parameter PresignedUrl")
    default = DEFAULT_KEY.format(region=call.region, account=call.caller)
    return Copying(encrypted, (key or default) if encrypted else "", not key, _minutes(call))


def _minutes(call: ApiCall) -> int:
    text = call.text("CompletionDurationMinutes")
    if not text:
        return 0
    minutes = int(text)
    if not SHORTEST_MINUTES <= minutes <= LONGEST_MINUTES or minutes % STEP_MINUTES:
        message = (
            f"Value ({minutes}) for parameter CompletionDurationMinutes is invalid. It must be a multiple of "
            f"{STEP_MINUTES} from {SHORTEST_MINUTES} to {LONGEST_MINUTES}."
        )
        raise ApiError("InvalidParameterValue", message)
    return minutes


def modify_snapshot_attribute(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Share one's own snapshot with other AWS accounts, or share it no more."""
    snapshot_id = _required(call, "SnapshotId")
    found = simulator.snapshots.get(call.region, snapshot_id, call.caller)
    if found is None:
        message = f"The snapshot '{snapshot_id}' does not exist."
        raise ApiError("InvalidSnapshot.NotFound", message)
    added, removed = _accounts(call, "Add"), _accounts(call, "Remove")
    if added and found.source.default_key:
        message = "Encrypted snapshots with EBS default key cannot be shared"
        raise ApiError("OperationNotPermitted", message)
    simulator.refuse_dry_run(call)
    found.shared_with |= set(added)
    found.shared_with -= set(removed)
    return {"return": True}


def _accounts(call: ApiCall, change: str) -> list[str]:
    """Return the numbers of the accounts that the call adds or removes."""
    found = [each.get("UserId", "") for each in call.groups(f"CreateVolumePermission.{change}")]
    for number in found:
        if not _ACCOUNT.fullmatch(number):
            raise ApiError("InvalidUserID.Malformed", f'Invalid user id: "{number}"')
    return found


def _required(call: ApiCall, name: str) -> str:
    value = call.text(name)
    if not value:
        raise ApiError("MissingParameter", f"The request must contain the parameter {name}")
    return value
