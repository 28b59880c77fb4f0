"""The Protocol through which a snapshot's blocks are read, without a volume: EBS direct APIs.

A block's index is its offset in the volume divided by `BLOCK_BYTES`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK_BYTES = 524_288


@dataclass(frozen=True, slots=True)
class BlockList:
    """A snapshot's blocks, in order, each with a token that is valid for days; blocks never written are not in it.

    `blocks` asks AWS for the next page when it needs it, and may raise what `Blocks.listed` may.
    """

    volume_gib: int
    block_bytes: int
    blocks: Iterator[tuple[int, str]]


class Blocks(Protocol):
    """The blocks of one account's snapshots; thread-safe.

    It tries again what AWS throttles or leaves without an answer, within a time of its own. Errors besides those of
    AWS: ImageNotPossibleError for a snapshot whose blocks cannot be read now (pending, archived).
    """

    def warm(self, region: str, connections: int) -> None:
        """Get credentials, and the client that keeps so many connections open; it makes no other call."""

    def listed(
        self, region: str, snapshot_id: str, start: int = 0, page: int = 10_000
    ) -> BlockList:
        """Return the snapshot's blocks from the index `start` on; each request asks for a page (100 to 10,000)."""

    def read(self, region: str, snapshot_id: str, index: int, token: str) -> bytes:
        """Return `BLOCK_BYTES` bytes, as AWS's checksum tells them; a short block is filled up with zeros."""

    def changed(self, region: str, first_snapshot: str, second_snapshot: str) -> Iterator[int]:
        """Yield the indexes of the blocks that differ between two snapshots of a volume, in order.

        Without a first snapshot, those of all blocks of the second.
        """
