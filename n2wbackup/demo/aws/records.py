"""Types for both sides of the simulator: the process that simulates AWS, and its users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A volume to be created.

    `backing` is the file or folder with its data: each snapshot copies it. Copies go to `copy_to` (for
    reflinks, a folder on the same file system) or, without it, below the simulator's own state.
    """

    size_gib: int = 1
    type: str = "gp3"
    backing: Path | None = None
    copy_to: Path | None = None
    name: str = ""
    encrypted: bool = False
    kms_key: str = ""  # of an encrypted one; without it, the account's default key


@dataclass(frozen=True, slots=True)
class SimulatedInstance:
    """An existing instance; the root volume is the first."""

    instance_id: str
    region: str
    volume_ids: tuple[str, ...]

    @property
    def root_volume_id(self) -> str:
        """The volume that it boots from."""
        return self.volume_ids[0]


@dataclass(frozen=True, slots=True)
class Call:
    """One API call as the service saw it.

    `permissions` are the IAM actions that it needs. `outcome` is "ok", AWS's error code, "dropped" if the
    connection was closed without an answer, or "serving" if the call has not ended yet.
    `parameters` are EC2's flat ones ("Filter.1.Value.2") or SSM's JSON.
    """

    service: str
    action: str
    permissions: tuple[str, ...]
    access_key_id: str
    region: str
    at: datetime
    dry_run: bool
    outcome: str
    service_seconds: float
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SimulatedSnapshot:
    """A snapshot and its copy.

    The snapshots of one call share a `set_id`. `copy` is the copied file or folder;
    `copy_state` is "none" (no backing), "copying", "done" or "failed" (see `copy_error`);
    `copy_method` is "reflink" or "plain". `torn`: somebody wrote to the backing of the set during the
    copy; None until that is known.
    """

    snapshot_id: str
    set_id: str
    volume_id: str
    instance_id: str
    region: str
    state: str
    progress: int
    description: str
    created_at: datetime
    copy: Path | None
    copy_state: str
    copy_method: str
    copy_error: str
    torn: bool | None
    tags: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""  # the number of the AWS account that has it
    origin: str = ""  # of a copy: the snapshot that it is a copy of
    encrypted: bool = False
    kms_key_id: str = ""
    shared_with: Sequence[str] = ()
    completion_minutes: int = 0
