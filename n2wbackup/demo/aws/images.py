"""The account's own AMIs: which snapshots each one needs, and its tags."""

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Image:
    """One AMI; its root device's snapshot is the first."""

    image_id: str
    region: str
    name: str
    snapshot_ids: tuple[str, ...]
    tags: dict[str, str] = field(default_factory=dict)


class Images:
    """All AMIs of all regions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: dict[str, Image] = {}

    def add(
        self, region: str, name: str, snapshot_ids: Sequence[str], tags: dict[str, str]
    ) -> Image:
        """Register an AMI of these snapshots, the root device's first."""
        image_id = f"ami-{secrets.token_hex(9)[:17]}"
        made = Image(image_id, region, name, tuple(snapshot_ids), dict(tags))
        with self._lock:
            self._images[image_id] = made
        return made

    def all(self, region: str) -> list[Image]:
        """Return the AMIs of the region, in the order in which they were registered."""
        with self._lock:
            return [each for each in self._images.values() if each.region == region]

    def get(self, region: str, image_id: str) -> Image | None:
        """Return an AMI of the region; None if there is none with this id."""
        found = self._images.get(image_id)
        return found if found is not None and found.region == region else None

    def remove(self, image_id: str) -> None:
        """Deregister an AMI; its snapshots stay."""
        with self._lock:
            self._images.pop(image_id, None)

    def clear(self) -> None:
        """Forget every AMI."""
        with self._lock:
            self._images.clear()
