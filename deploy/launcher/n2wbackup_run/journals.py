"""What a file system's journal says before it is replayed: whether it has to be, and how much is in it."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import NamedTuple

_MOST_STEPS = 20_000
_EXT4_MAGIC, _DESCRIPTOR, _COMMIT, _REVOKE = 0xC03B3998, 1, 2, 5
_LAST_TAG, _SAME_UUID = 8, 2
_XFS_HEADER = 0xFEEDBABE
_BASIC = 512  # XFS counts its log in such blocks


class Journal(NamedTuple):
    """`replay_bytes` is -1 if it cannot be told."""

    needs_recovery: bool
    replay_bytes: int


class _Log(NamedTuple):
    """The log of an ext4, as its superblock tells it."""

    length: int
    first: int
    sequence: int
    start: int
    features: int


def read(file: int, offset: int, kind: str) -> Journal:
    """Return what is known; whatever a hostile image says, it comes to an end."""
    looks = _of_ext4 if kind == "ext4" else _of_xfs
    try:
        return looks(file, offset)
    except (struct.error, ValueError, IndexError, OverflowError, ZeroDivisionError, OSError):
        return Journal(needs_recovery=True, replay_bytes=-1)


# ext4


def _of_ext4(file: int, offset: int) -> Journal:
    head = os.pread(file, 1024, offset + 1024)
    (needed,) = struct.unpack_from("<I", head, 96)
    block = 1024 << (struct.unpack_from("<I", head, 24)[0] & 7)
    if not needed & 4:
        return Journal(needs_recovery=False, replay_bytes=0)
    places = _journal_blocks(head)
    if not places:
        return Journal(needs_recovery=True, replay_bytes=-1)

    def at(number: int) -> bytes:
        for first, count, start in places:
            if first <= number < first + count:
                return os.pread(file, block, offset + (start + number - first) * block)
        raise ValueError(number)

    top = at(0)
    log = _Log(*struct.unpack_from(">IIII", top, 16), *struct.unpack_from(">I", top, 40))
    count = _replayed(at, log) if log.start else 0
    return Journal(needs_recovery=True, replay_bytes=count * block)


def _journal_blocks(head: bytes) -> list[tuple[int, int, int]]:
    """Return where the journal lies, as the superblock's copy of its inode says: an extent tree without depth."""
    magic, entries, _, depth = struct.unpack_from("<HHHH", head, 0x10C)
    if magic != 0xF30A or depth:  # noqa: PLR2004 - of an extent tree
        return []
    found = []
    for number in range(min(entries, 4)):
        first, count, high, low = struct.unpack_from("<IHHI", head, 0x10C + 12 + 12 * number)
        found.append((first, count, high << 32 | low))
    return found


def _replayed(at: Callable[[int], bytes], log: _Log) -> int:
    """Return how many blocks a replay goes through: all up to the last commit."""
    number, sequence, seen, committed = log.start, log.sequence, 0, 0
    for _ in range(_MOST_STEPS):
        raw = at(number)
        magic, kind, found = struct.unpack_from(">III", raw, 0)
        if magic != _EXT4_MAGIC or found != sequence:
            break
        step = 1 + (_tags(raw, log.features) if kind == _DESCRIPTOR else 0)
        seen += step
        number += step
        if number >= log.length:
            number = log.first + (number - log.length) % (log.length - log.first)
        if kind == _COMMIT:
            sequence, committed = sequence + 1, seen
        elif kind not in (_DESCRIPTOR, _REVOKE):
            break
    return committed


def _tags(raw: bytes, wide: int) -> int:
    """Return how many blocks follow a descriptor."""
    size = 16 if wide & 0x10 else 12 if wide & 2 else 8  # checksums of version 3, 64 bits
    at, found = 12, 0
    while at + size <= len(raw):
        if wide & 0x10:
            (flags,) = struct.unpack_from(">I", raw, at + 4)
        else:
            (flags,) = struct.unpack_from(">H", raw, at + 6)
        at += size + (0 if flags & _SAME_UUID else 16)
        found += 1
        if flags & _LAST_TAG:
            break
    return found


# XFS


def _of_xfs(file: int, offset: int) -> Journal:
    """Find the log's head by its cycle numbers, as the kernel does, and the tail that the last record names."""
    head = os.pread(file, 512, offset)
    block, ag_blocks = struct.unpack_from(">I", head, 4)[0], struct.unpack_from(">I", head, 84)[0]
    (start,), (count,) = struct.unpack_from(">Q", head, 48), struct.unpack_from(">I", head, 96)
    ag_bits = head[124]
    if not start or block not in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
        return Journal(needs_recovery=True, replay_bytes=-1)
    first = (start >> ag_bits) * ag_blocks + (start & ((1 << ag_bits) - 1))
    begin, length = offset + first * block, count * block // _BASIC

    def cycle(number: int) -> int:
        raw = os.pread(file, 8, begin + number * _BASIC)
        words = struct.unpack(">II", raw)
        return int(words[1] if words[0] == _XFS_HEADER else words[0])

    low, high, oldest = 0, length, cycle(0)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if cycle(middle) == oldest else (low, middle)
    return _since_tail(file, begin, length, high % length)


def _since_tail(file: int, begin: int, length: int, head: int) -> Journal:
    """Look back from the head for the last record, which names the tail."""
    for back in range(1, min(length, 1024)):
        at = (head - back) % length
        raw = os.pread(file, 512, begin + at * _BASIC)
        if struct.unpack_from(">I", raw, 0)[0] != _XFS_HEADER:
            continue
        (size,) = struct.unpack_from(">I", raw, 12)
        (tail,) = struct.unpack_from(">Q", raw, 24)
        (operations,) = struct.unpack_from(">I", raw, 40)
        end = at + 1 + -(-size // _BASIC)
        is_unmount = operations == 1 and _is_unmount(
            os.pread(file, 512, begin + ((at + 1) % length) * _BASIC)
        )
        if is_unmount and end % length == head % length:
            return Journal(needs_recovery=False, replay_bytes=0)
        return Journal(
            needs_recovery=True, replay_bytes=((head - (tail & 0xFFFFFFFF)) % length) * _BASIC
        )
    return Journal(needs_recovery=True, replay_bytes=-1)


def _is_unmount(raw: bytes) -> bool:
    return bool(raw[9] & 0x20)  # the flags of the only operation say that it is the last
