"""The whole state of one simulated AWS."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.credentials import Account, Credentials
from n2wbackup.demo.aws.faults import Faults
from n2wbackup.demo.aws.inventory import Inventory
from n2wbackup.demo.aws.journal import Journal
from n2wbackup.demo.aws.makings import Makings
from n2wbackup.demo.aws.options import Options
from n2wbackup.demo.aws.permissions import Permissions
from n2wbackup.demo.aws.snapshots import Snapshot, Snapshots
from n2wbackup.demo.aws.ssm_commands import Commands
from n2wbackup.demo.aws.throttles import Buckets

if TYPE_CHECKING:
    from n2wbackup.demo.aws.consoles import Console
    from n2wbackup.demo.aws.ec2_removing import Lock


class Simulator:
    """One AWS: its regions share one account; the key `owner` always works."""

    def __init__(self, state: Path, owner: Account) -> None:
        """Files (copies, scripts) go below `state`."""
        self.owner = owner
        self.options = Options()
        self.inventory = Inventory(state / "snapshots")
        self.snapshots = Snapshots()
        self.locks: dict[str, Lock] = {}  # by snapshot
        self._bin: dict[str, tuple[Snapshot, datetime, datetime]] = {}  # entered at, until
        self.makings = Makings()
        self.commands = Commands(state / "ssm", lambda: self.options)
        self.credentials = Credentials()
        self.credentials.add(owner)
        self.faults = Faults()
        self.buckets = Buckets()
        self.journal = Journal()
        self.permissions = Permissions()
        self.connect_folders: dict[str, Path] = {}  # by instance: where its sshd looks keys up
        self.consoles: dict[str, Console] = {}  # by instance
        self.roles: dict[str, tuple[str, tuple[str, ...]]] = {}  # by instance: role, its policies

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change options from now on; ValueError, and no change, if one does not exist."""
        self.options = self.options.changed(changes)

    def delete_snapshot(self, region: str, snapshot_id: str) -> None:
        """Delete a snapshot and its copy; ValueError if there is none with this id."""
        if not self.snapshots.delete(snapshot_id):
            msg = f"There is no snapshot {snapshot_id}."
            raise ValueError(msg)
        self.inventory.forget_snapshot(region, snapshot_id)

    def put_into_bin(self, region: str, snapshot_id: str, until: datetime) -> None:
        """Let the Recycle Bin have a snapshot until then."""
        found = self.snapshots.withdraw(snapshot_id)
        if found is not None:
            self._bin[snapshot_id] = (found, datetime.now(tz=UTC), until)
            self.inventory.forget_snapshot(region, snapshot_id)

    def in_bin(self, region: str) -> dict[str, tuple[Snapshot, datetime, datetime]]:
        """Return what is in the region's Recycle Bin, with the times at which it came and goes."""
        now = datetime.now(tz=UTC)
        rows = list(self._bin.items())
        return {key: row for key, row in rows if row[2] > now and row[0].request.region == region}

    def take_from_bin(self, region: str, snapshot_id: str) -> Snapshot:
        """List a snapshot again that is in the Recycle Bin."""
        found, _, _ = self._bin.pop(snapshot_id)
        self.snapshots.put_back(found)
        self.inventory.mirror(region, found)
        return found

    def reset(self) -> None:
        """Forget everything except the owner's key; copies stay on disk."""
        self.faults.clear()
        self.commands.clear()
        self.snapshots.clear()
        self.locks.clear()
        self._bin.clear()
        self.makings = Makings()
        self.inventory.clear()
        self.connect_folders.clear()
        self.consoles.clear()
        self.roles.clear()
        self.credentials.clear(keep=[self.owner.access_key_id])
        self.buckets.clear()
        self.journal.clear()
        self.options = Options()

    @staticmethod
    def refuse_dry_run(call: ApiCall) -> None:
        """End a dry run here: everything that AWS checks before it acts has been checked."""
        if call.dry_run:
            message = "Request would have succeeded, but DryRun flag is set."
            raise ApiError("DryRunOperation", message, HTTPStatus.PRECONDITION_FAILED)
