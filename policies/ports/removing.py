"""The Protocol through which the services delete snapshots, keep them from it, and bring them back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from policies.ports import Snapshot


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI of the account, and the snapshots that it needs."""

    image_id: str
    snapshot_ids: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


class Removing(Protocol):
    """What deletes snapshots of one account, keeps them from it, and brings them back.

    Each call may be repeated: after a lost answer, a second one changes nothing more.
    """

    def delete(self, region: str, snapshot_id: str) -> None:
        """Delete the snapshot. NotFoundError: there is none. InUseError: an AMI boots from it."""

    def images_of(self, region: str, snapshot_ids: Sequence[str]) -> list[Image]:
        """Return the account's AMIs that need one of these snapshots."""

    def deregister(self, region: str, image_id: str) -> None:
        """Deregister the AMI; its snapshots stay. NotFoundError: there is none."""

    def in_bin_until(self, region: str, snapshot_id: str) -> datetime | None:
        """Return until when the Recycle Bin has the deleted snapshot; None if it does not have it."""

    def take_back(self, region: str, snapshot_id: str) -> None:
        """Take the snapshot out of the Recycle Bin, with its tags. NotFoundError: it is not there."""

    def lock(
        self, region: str, snapshot_id: str, mode: str, until: datetime, cool_off_hours: int = 0
    ) -> None:
        """Lock the snapshot in this mode (governance or compliance) until then, at least a day from now.

        `cool_off_hours`: for so long a compliance lock may still be taken away; afterwards nobody can.
        """

    def made_on(
        self, region: str, key: str, values: Sequence[str], days: Sequence[date]
    ) -> list[Snapshot]:
        """Return the account's snapshots that were begun on these days (UTC) with one of these values of the tag."""

    def unlock(self, region: str, snapshot_id: str) -> None:
        """Take the lock away. RejectedError: it has none, or it is compliance's."""
