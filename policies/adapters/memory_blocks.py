"""The blocks of snapshots in memory, for tests: the same answers and refusals as EBS direct APIs.

tests/contract/test_blocks.py checks that.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policies.adapters import translate
from policies.adapters.translate import Call
from policies.domain.errors import ImageNotPossibleError, NotFoundError, RejectedError
from policies.ports.blocks import BLOCK_BYTES, BlockList


@dataclass(slots=True)
class MemorySnapshot:
    """A snapshot's bytes by block. `why_not`: the sentence if its blocks cannot be read."""

    blocks: Mapping[int, bytes]
    volume_id: str = "vol-00000000000000001"
    volume_gib: int = 1
    why_not: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(8))


class MemoryBlocks:
    """The snapshots of one account, by id. `reads` has every block that was read, in order."""

    def __init__(self, snapshots: Mapping[str, MemorySnapshot] | None = None) -> None:
        """Keep them; they may be changed."""
        self.snapshots = dict(snapshots or {})
        self.reads: list[tuple[str, int]] = []

    def warm(self, region: str, connections: int) -> None:
        """Nothing has to be opened."""

    def listed(
        self,
        region: str,
        snapshot_id: str,
        start: int = 0,
        page: int = 10_000,  # noqa: ARG002 - one page is as good as many
    ) -> BlockList:
        found = self._found(Call("ListSnapshotBlocks", snapshot_id, region))
        rows = (
            (index, f"{found.token}-{index}") for index in sorted(found.blocks) if index >= start
        )
        return BlockList(found.volume_gib, BLOCK_BYTES, rows)

    def read(self, region: str, snapshot_id: str, index: int, token: str) -> bytes:
        call = Call("GetSnapshotBlock", snapshot_id, region)
        found = self._found(call)
        if token != f"{found.token}-{index}":
            raise translate.refusal("ValidationException", "The block token is not valid", call)
        self.reads.append((snapshot_id, index))
        return found.blocks[index].ljust(BLOCK_BYTES, b"\0")

    def changed(self, region: str, first_snapshot: str, second_snapshot: str) -> Iterator[int]:
        second = self._found(Call("ListChangedBlocks", second_snapshot, region))
        if not first_snapshot:
            return iter(sorted(second.blocks))
        first = self._found(Call("ListChangedBlocks", first_snapshot, region))
        if first.volume_id != second.volume_id:
            raise RejectedError("ListChangedBlocks failed: they are not of the same volume.")
        every = sorted({*first.blocks, *second.blocks})
        return (each for each in every if first.blocks.get(each) != second.blocks.get(each))

    def _found(self, call: Call) -> MemorySnapshot:
        snapshot_id = call.subject
        if snapshot_id not in self.snapshots:
            raise NotFoundError(f"{call} failed: the snapshot does not exist.")
        found = self.snapshots[snapshot_id]
        if found.why_not:
            raise ImageNotPossibleError(found.why_not)
        return found
