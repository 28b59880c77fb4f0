"""The images behind opened snapshots: opened by a worker, and found again by every process of the same server."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from policies.adapters.images import HomeImages
from policies.domain.errors import ImageError, ImageGoneError
from policies.models import OpenedSnapshot
from policies.ports.images import About, Images, Order, Tree
from policies.services.window import credentials

LONGEST_SECONDS = 12 * 3600.0  # whoever uses it
OVERLAY_BYTES = 512 * 1024**2  # nothing is written but what the journal replays


def images() -> Images:
    """Return what opens snapshots on this server."""
    return HomeImages()


def opened(row: OpenedSnapshot) -> Tree:
    """Open the snapshot of the row, which is read with its run's account, as an image. Raises errors for people.

    What a worker that was killed has begun is taken over, or its rest removed.
    """
    with suppress(ImageGoneError):
        return tree(row)
    wanted = order(row)
    try:
        return images().opened(wanted)
    except FileExistsError:
        images().reap()
        return images().opened(wanted)


def order(row: OpenedSnapshot) -> Order:
    """Return how the snapshot of the row is opened."""
    account = row.account
    if account is None:
        raise ImageError("The account is deleted: nothing leads to the snapshot any more.")
    return Order(
        key=str(row.pk),
        region=row.copy.region if row.copy else row.snapshot.target.region,
        snapshot_id=row.image.snapshot_id,
        credentials=credentials.of(account),
        seconds=LONGEST_SECONDS,
        overlay_bytes=OVERLAY_BYTES,
        part=row.part,
    )


def tree(row: OpenedSnapshot) -> Tree:
    """Return the tree of an opened snapshot; ImageGoneError if its processes have ended."""
    return images().again(str(row.pk))


def close(row: OpenedSnapshot) -> None:
    """Close the image of the row; nothing happens where there is none any more."""
    with suppress(ImageGoneError):
        tree(row).close()


def living() -> tuple[str, ...]:
    """Return the keys of the images that are open on this server, of opened snapshots and of others."""
    return images().keys()


def document(about: About) -> Mapping[str, Any]:
    """Return what a page shows of the file system, as JSON values."""
    return {
        "file_system": about.file_system,
        "part": about.part,
        "parts": [
            {
                "number": each.number,
                "file_system": each.file_system,
                "size_bytes": each.size_bytes,
                "label": each.label,
                "is_readable": each.is_readable,
            }
            for each in about.parts
        ],
        "needs_recovery": about.needs_recovery,
        "replay_bytes": about.replay_bytes,
        "size_bytes": about.size_bytes,
        "used_bytes": about.used_bytes,
        "blocks_of_snapshot": about.blocks_of_snapshot,
        "seconds": about.seconds,
    }
