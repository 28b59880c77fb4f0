"""A mark of a file: as long as it is the same, nobody has changed the file's bytes. Standard library only."""

import os
from typing import NamedTuple


class Mark(NamedTuple):
    """What the kernel says of a file. The time of change goes on with each write, and no program can set it back."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Mark":
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
