"""Disks of the folders behind volumes: what the copy of a folder would be as blocks.

A volume is backed by a folder where nobody may make and mount file systems. Its snapshot has the folder's copy, and
when its blocks are first asked for, `mkfs.ext4` makes a disk of that; it needs no root. Without it, there are none.
"""

import shutil
import subprocess
import threading
import uuid
from http import HTTPStatus
from pathlib import Path

from n2wbackup.demo.aws.answers import ApiError

PACKAGE = "e2fsprogs"
_PROGRAM = shutil.which("mkfs.ext4") or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
_SECONDS = 60
_making = threading.Lock()


def can_make() -> bool:
    """Tell whether this machine has what makes them."""
    return _PROGRAM is not None


def place(copy: Path) -> Path:
    """Return where the disk of a copied folder is, once it is made."""
    return copy.with_name(f"{copy.name}.ext4")


def of(copy: Path | None, volume_id: str, size_gib: int) -> Path | None:
    """Return the file with the blocks of a copy: the copy itself, or the disk of a folder; None if there is none.

    All disks of a volume have one identity, as a file system keeps its own from snapshot to snapshot.
    """
    if copy is None or not copy.is_dir():
        return copy
    if _PROGRAM is None:
        return None
    disk = place(copy)
    with _making:
        if not disk.is_file():
            _make(_PROGRAM, copy, disk, str(uuid.uuid5(uuid.NAMESPACE_OID, volume_id)), size_gib)
    return disk


def _make(program: str, folder: Path, disk: Path, identity: str, size_gib: int) -> None:
    half = disk.with_suffix(".half")
    # Tables of inodes that nobody uses need not be written; then a disk takes a fraction of a second.
    options = f"lazy_itable_init=1,lazy_journal_init=1,hash_seed={identity}"
    words: list[str | Path] = [
        program,
        "-q",
        "-F",
        "-U",
        identity,
        "-E",
        options,
        "-d",
        folder,
        half,
        f"{size_gib}G",
    ]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS
    )
    if done.returncode:
        half.unlink(missing_ok=True)
        said = done.stderr.decode(errors="replace").strip()
        message = f"No disk can be made of {folder}: {said}"
        raise ApiError("InternalServerException", message, HTTPStatus.INTERNAL_SERVER_ERROR)
    half.rename(disk)
