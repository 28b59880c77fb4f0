"""The Protocols through which the services call AWS.

Regions are AWS region names, ids AWS ids, spans seconds. Every method may raise the errors of
`policies.domain.errors`; none retries by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account's keys, or a role and its external id; all empty: the SDK's default chain.

    Never shown.
    """

    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    role_arn: str = field(default="", repr=False)
    external_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller as AWS sees it: the AWS account's number and the ARN of the identity in it."""

    aws_account_id: str
    arn: str


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance and the EBS volumes attached to it; the root volume is one of them.

    `answer`: everything that DescribeInstances says of it.
    """

    instance_id: str
    region: str
    aws_account_id: str
    state: str
    root_volume_id: str
    volume_ids: tuple[str, ...]
    answer: Mapping[str, Any] = field(
        default_factory=dict, repr=False, compare=False
    )  # JSON values


@dataclass(frozen=True, slots=True)
class Volume:
    """An EBS volume; `instance_id` is empty if it is not attached. `answer` as in Instance."""

    volume_id: str
    region: str
    volume_type: str
    instance_id: str
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class FireRequest:
    """One call: CreateSnapshots of an instance, or CreateSnapshot of a stand-alone volume."""

    region: str
    tags: Mapping[str, str]
    description: str
    instance_id: str = ""
    volume_id: str = ""
    exclude_boot_volume: bool = False
    exclude_volume_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as AWS shows it: state pending | completed | error | …, progress in percent."""

    snapshot_id: str
    volume_id: str
    state: str
    progress: int = 0
    message: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = field(default=None, compare=False)
    completed_at: datetime | None = field(default=None, compare=False)
    size_gib: int = field(default=0, compare=False)


# Reads an answer that is here. AnswerLostError: it cannot be read, and AWS may have created snapshots.
Answer = Callable[[], list[Snapshot]]
# Sends a prepared call within so many seconds, in one attempt, and returns once its answer is here and is no refusal.
Aimed = Callable[[float], Answer]


class Snapshots(Protocol):
    """EBS snapshots of one account."""

    def renew(self, seconds: float) -> None:
        """Get credentials that are valid for so many seconds, so that no call in the window has to.

        ThrottledError: they expire too soon, and newer ones are not available yet.
        """

    def warm(self, region: str, connections: int) -> None:
        """Open so many connections to the region, so that no call in the window has to."""

    def prove(self, request: FireRequest) -> None:
        """Return if the request would be permitted (DryRun); if not, raise AWS's answer."""

    def aim(self, request: FireRequest) -> Aimed:
        """Prepare and sign the call, without sending anything."""

    def fire(self, request: FireRequest, timeout_seconds: float) -> list[Snapshot]:
        """Create the snapshots, in one attempt. AnswerLostError: AWS may have created them."""

    def describe(self, region: str, snapshot_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Return the snapshots that exist in this account, by id; at most 200 per call."""

    def of_run(self, region: str, server: str, run: str) -> list[Snapshot]:
        """Return the snapshots with this server's and this run's tags."""

    def of_server(self, region: str, server: str) -> list[Snapshot]:
        """Return all snapshots with this server's tag, whichever run created them."""

    def tag(self, region: str, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set the tags on the snapshots."""


class Instances(Protocol):
    """EC2 instances and volumes of one account."""

    def instances(self, region: str, instance_ids: Sequence[str]) -> dict[str, Instance]:
        """Return the instances that exist, by id; terminated ones are left out."""

    def volumes(self, region: str, volume_ids: Sequence[str]) -> dict[str, Volume]:
        """Return the volumes that exist, by id."""

    def all_instances(self, region: str) -> list[Instance]:
        """Return every instance of the region, by id in order; terminated ones are left out."""

    def all_volumes(self, region: str) -> list[Volume]:
        """Return every volume of the region, by id in order."""

    def user_data_hash(self, region: str, instance_id: str) -> str:
        """Return the SHA-256 of the instance's user data in hexadecimal; empty if it has none."""

    def console_output(self, region: str, instance_id: str, *, latest: bool) -> str:
        """Return what the instance's console showed, 64 KiB at most; empty if AWS has nothing of it.

        Not `latest`: what AWS kept after the last start or stop, for about an hour. `latest`: what it shows now,
        which only newer instance types (Nitro) can; RejectedError for the others.
        """


class Permissions(Protocol):
    """Checks of one account's permissions; nothing is created or changed."""

    def caller(self, region: str) -> Caller:
        """Return the caller as AWS sees it; every valid identity may ask for it."""

    def may_list(self, action: str, region: str) -> None:
        """Return if DescribeInstances, DescribeVolumes or DescribeSnapshots is permitted (DryRun)."""

    def may_tag(self, region: str, snapshot_id: str, tags: Mapping[str, str]) -> None:
        """Return if these tags may be set on the snapshot (DryRun)."""

    def any_instance(self, region: str) -> str:
        """Return the id of any instance, or an empty string."""

    def any_volume(self, region: str) -> str:
        """Return the id of any volume, or an empty string."""

    def any_snapshot(self, region: str, server: str) -> str:
        """Return the id of any snapshot with this server's tag, or an empty string."""


class InstanceConnect(Protocol):
    """EC2 Instance Connect of one account."""

    def hand_over(
        self, region: str, instance_id: str, user: str, public_key: str, zone: str = ""
    ) -> None:
        """Let whoever has the private half log in to the instance as the user, for a minute (SendSSHPublicKey).

        `zone` is the instance's availability zone; with a wrong one, AWS finds no instance. Whether sshd there asks
        for such keys is not known: only a login tells.
        """


@dataclass(frozen=True, slots=True)
class ManagedInstance:
    """An instance whose SSM agent has registered; `ping`: Online, ConnectionLost or Inactive."""

    instance_id: str
    ping: str
    pinged_at: datetime | None
    platform_type: str
    platform: str
    agent_version: str


class Agents(Protocol):
    """What AWS says about the SSM agents of one account's instances."""

    def managed(self, region: str, instance_ids: Sequence[str] = ()) -> dict[str, ManagedInstance]:
        """Return the instances whose agent has ever registered, by id: those of the region, or of these ids only."""

    def role_of(self, profile_arn: str, region: str) -> tuple[str, tuple[str, ...]]:
        """Return the role of an instance profile and the names of its managed policies; the role may be empty."""


class Cloud(Snapshots, Instances, Permissions, Protocol):
    """One account's AWS."""
