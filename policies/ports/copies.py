"""The Protocol through which snapshots are copied to other regions and accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from policies.ports import Snapshot


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """A copy of a snapshot, to be made in `region` of the account that asks.

    `kms_key`: encrypt it with this key of that account and region; empty: as its source is, with that region's
    default key. `completion_minutes`: pay for a copy within so many minutes (15 to 2,880, by 15); 0: whenever.
    """

    region: str
    source_region: str
    snapshot_id: str
    tags: Mapping[str, str]
    description: str
    kms_key: str = ""
    completion_minutes: int = 0


class Copies(Protocol):
    """Copies of EBS snapshots: to other regions and to other accounts; one account's view of them."""

    def copy(self, request: CopyRequest) -> str:
        """Start the copy, in one attempt; return its id. AnswerLostError: AWS may have started it."""

    def share(self, region: str, snapshot_id: str, aws_account_id: str) -> None:
        """Let another AWS account copy the snapshot."""

    def unshare(self, region: str, snapshot_id: str, aws_account_id: str) -> None:
        """Take that back; nothing happens if it was not shared."""

    def tagged(self, region: str, key: str, value: str = "") -> list[Snapshot]:
        """Return this account's own snapshots with the tag; without a value, whatever its value."""
