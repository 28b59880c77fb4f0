"""A snapshot as a disk: nbdkit gets its blocks, an overlay takes what is written, nbdfuse makes a file of it.

Then the parts of the disk, and the file systems on them, by what their first bytes say. Only ext4 and XFS are mounted.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from n2wbackup_run.accounts import RefusedError

NBDKIT, NBDFUSE = "/usr/bin/nbdkit", "/usr/bin/nbdfuse"
PLUGIN = str(Path(__file__).with_name("plugin.py"))
START_SECONDS = 20.0
SECTOR, MOST_PARTS = 512, 128
_LOOK_SECONDS = 0.005
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_KIT = [NBDKIT, "--single", "--foreground", "--log=stderr", "--filter=cow", "python"]
_GPT = b"EFI PART"
_MBR = b"\x55\xaa"
_EXTENDED = (0x05, 0x0F, 0x85)
MOUNTED = ("ext4", "xfs")


class DamagedError(RefusedError):
    """What is in the snapshot is at fault."""


class Part(NamedTuple):
    """A part of the disk, and what its first bytes say it holds."""

    number: int
    offset: int
    size: int
    file_system: str
    label: str


class Disk:
    """The processes and the file of an opened disk."""

    def __init__(self, place: str, name: str, size: int) -> None:
        """`place` is a folder in memory that nobody else sees; by `name` the processes are found."""
        self.folder, self.name, self.size = f"{place}/disk-{name}", name, size
        self.file = f"{self.folder}/image"
        self.processes: list[subprocess.Popen[bytes]] = []

    def open(self, sockets: list[int], overlay: int, uid: int, gid: int) -> None:
        """Start what makes the file; RefusedError if it does not appear."""
        os.mkdir(self.folder, 0o700)  # noqa: PTH102 - beside the others
        ours, theirs = socket.socketpair()
        kit, fuse = ours.fileno(), theirs.fileno()
        numbers = ",".join(map(str, sockets))
        # It has the rights of the server's account: it needs none of root's.
        self.processes.append(
            subprocess.Popen(
                [*_KIT, PLUGIN, f"size={self.size}", f"sockets={numbers}"],
                stdin=kit,
                stdout=kit,
                env={**_ENVIRONMENT, "TMPDIR": f"/proc/self/fd/{overlay}", "N2W_IMAGE": self.name},
                pass_fds=(*sockets, overlay),
                user=uid,
                group=gid,
                extra_groups=[],
                umask=0o077,
            )
        )
        self.processes.append(
            subprocess.Popen(
                [NBDFUSE, self.file, "--fd", str(fuse)], env=_ENVIRONMENT, pass_fds=(fuse,)
            )
        )
        ours.close()
        theirs.close()
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not os.path.exists(self.file):  # noqa: PTH110 - often
            if any(each.poll() is not None for each in self.processes):
                raise RefusedError("nbdkit or nbdfuse ended at once: look at the server's log")
            if time.monotonic() > until:
                raise RefusedError("nbdkit and nbdfuse made no disk in time: look at the load")
            time.sleep(_LOOK_SECONDS)

    def overlay_bytes(self) -> int:
        """Return how much the overlay takes on the disk of the server."""
        found = 0
        with contextlib.suppress(OSError):
            for each in Path("/proc", str(self.processes[0].pid), "fd").iterdir():
                with contextlib.suppress(OSError):
                    status = each.stat()
                    if status.st_nlink == 0 and status.st_size >= self.size:
                        found = max(found, status.st_blocks * SECTOR)
        return found


def parts(file: int, size: int) -> list[Part]:
    """Return the parts of the disk; one that holds a file system itself has one part, number 0."""
    whole = _part(file, 0, 0, size)
    if whole.file_system in (*MOUNTED, "btrfs", "LVM", "LUKS", "swap"):
        return [whole]
    first = _read(file, 0, 2 * SECTOR)
    if first[SECTOR : SECTOR + 8] == _GPT:
        return [_part(file, *each) for each in _of_gpt(file, size, first[SECTOR:])]
    if first[510:512] == _MBR:
        found = [_part(file, *each) for each in _of_mbr(first, size)]
        if found:
            return found
    return [whole]


def _of_gpt(file: int, size: int, header: bytes) -> list[tuple[int, int, int]]:
    """Return number, offset and size of each partition; none may lie outside of the disk."""
    at, count, length = struct.unpack_from("<QII", header, 72)
    if not (SECTOR <= at * SECTOR < size and length in (128, 256)):
        raise DamagedError("the partition table (GPT) in it makes no sense")
    table = _read(file, at * SECTOR, min(count, MOST_PARTS) * length)
    (checksum,) = struct.unpack_from("<I", header, 88)
    # Of a longer table only its begin is read, which has no checksum of its own.
    if count <= MOST_PARTS and zlib.crc32(table) != checksum:
        raise DamagedError("the partition table (GPT) in it does not fit its own checksum")
    found = []
    for number in range(len(table) // length):
        begin, end = struct.unpack_from("<QQ", table, number * length + 32)
        is_used = any(table[number * length : number * length + 16])
        if is_used and 0 < begin <= end and (end + 1) * SECTOR <= size:
            found.append((number + 1, begin * SECTOR, (end + 1 - begin) * SECTOR))
    return found


def _of_mbr(first: bytes, size: int) -> list[tuple[int, int, int]]:
    found = []
    for number in range(4):
        kind, begin, count = struct.unpack_from("<4xB3xII", first, 446 + 16 * number)
        if kind and kind not in _EXTENDED and begin and (begin + count) * SECTOR <= size:
            found.append((number + 1, begin * SECTOR, count * SECTOR))
    return found


def _part(file: int, number: int, offset: int, size: int) -> Part:
    begin = _read(file, offset, 4096)
    kind, label = _judged(begin)
    if kind in ("unknown", "empty") and _read(file, offset + 65536 + 64, 8) == b"_BHRfS_M":
        kind = "btrfs"
    return Part(number, offset, size, kind, label)


def _judged(begin: bytes) -> tuple[str, str]:
    """Return the name of a file system by its first bytes, and its label."""
    if begin[:4] == b"XFSB":
        return "xfs", _label(begin[108:120])
    if begin[1080:1082] == b"\x53\xef":
        (needed,) = struct.unpack_from("<I", begin, 1024 + 96)
        # ext2 and ext3 have no extents; the driver of ext4 mounts them as well, and they are as old as that.
        return ("ext4" if needed & 0x40 else "ext2"), _label(begin[1024 + 120 : 1024 + 136])
    known = (
        (b"LUKS\xba\xbe", 0, "LUKS"),
        (b"LABELONE", 512, "LVM"),
        (b"NTFS    ", 3, "NTFS"),
        (b"FAT32   ", 82, "FAT"),
        (b"FAT16   ", 54, "FAT"),
        (b"SWAPSPACE2", 4086, "swap"),
    )
    for magic, at, name in known:
        if begin[at : at + len(magic)] == magic:
            return name, ""
    return ("unknown" if any(begin) else "empty"), ""


def _label(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace")


def chosen(found: list[Part], wanted: int) -> Part:
    """Return the part that is mounted; DamagedError says why there is none. `wanted` -1: the largest."""
    usable = [each for each in found if each.file_system in MOUNTED]
    if wanted >= 0:
        usable = [each for each in usable if each.number == wanted]
    if not usable:
        seen = sorted({each.file_system for each in found} - {"empty"})
        what = f"only {', '.join(seen)}" if seen else "nothing"
        if wanted >= 0:
            raise DamagedError(f"its part {wanted} holds no ext4 and no XFS")
        raise DamagedError(
            f"it holds {what}: only ext4 and XFS are opened, on the whole disk or on its partitions"
        )
    return max(usable, key=lambda each: each.size)


def _read(file: int, offset: int, count: int) -> bytes:
    try:
        return os.pread(file, count, offset).ljust(count, b"\0")
    except OSError:
        raise RefusedError("a block of it cannot be read") from None
