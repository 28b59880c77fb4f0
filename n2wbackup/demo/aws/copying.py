"""Copies of the data behind the volumes, as it was at one moment.

If the file system can share blocks (XFS, btrfs), the FICLONE ioctl clones each file: the clone of one
file is a point in time by itself, and takes microseconds if its pages are already on disk (the kernel
first writes dirty pages of the source). On other file systems the bytes are copied. Both happen before
the answer is sent, as on EBS, if there are at most `SYNCHRONOUS_BYTES` to copy: some milliseconds for a
few MB. A thread copies more than that. It starts before the answer, which waits `ANSWER_WAIT_SECONDS`
for it: so the call stays short, but the source must not change until the copy is done.

No file system freezes a tree or several files for us, so every copy is checked: if size, inode or times
of any file in the set differ between start and end, the copy is repeated while that is cheap, and
otherwise marked as torn. The clock of older kernels is too coarse to show two writes within some
milliseconds, so files that were written just before are also compared byte by byte, up to
`SYNCHRONOUS_BYTES`. Writes through mmap are not seen until the kernel writes them back.

The copy goes to `destination`: never put it on a file system that is being frozen.
"""

import errno
import fcntl
import filecmp
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from n2wbackup.demo.aws import disks

FICLONE = 0x40049409  # from linux/fs.h: share all blocks of the given file descriptor
SYNCHRONOUS_BYTES = 16 * 1024 * 1024
ANSWER_WAIT_SECONDS = 0.005
RETRY_SECONDS = 0.005
_SECTOR = 512
_PIECE = 1024 * 1024
COARSE_CLOCK_NS = 20_000_000

_Signature = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Backing:
    """The data behind a volume and the place of its copies; `reflinks`: found out when it was added."""

    source: Path
    copies: Path
    reflinks: bool


@dataclass(slots=True)
class CopySet:
    """The copies of one call; `torn` is None until `finished` is set."""

    jobs: Sequence[tuple[Backing, Path]]
    method: str = ""
    torn: bool | None = None
    error: str = ""
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> str:
        """Return none, copying, done or failed."""
        if not self.jobs:
            return "none"
        if not self.finished.is_set():
            return "copying"
        return "failed" if self.error else "done"


def reflinks(source: Path, folder: Path) -> bool:
    """Tell whether files of `source` can be cloned into `folder`, by trying it with a small file."""
    near = source if source.is_dir() else source.parent
    if near.stat().st_dev != folder.stat().st_dev:
        return False
    first, second = folder / f".probe-{os.getpid()}-a", folder / f".probe-{os.getpid()}-b"
    try:
        first.write_bytes(b"probe")
        _clone(first, second)
    except OSError:
        return False
    else:
        return True
    finally:
        first.unlink(missing_ok=True)
        second.unlink(missing_ok=True)


def backing(source: Path, copies: Path) -> Backing:
    """Return the backing of a volume; ValueError if it is neither a file nor a folder."""
    if not (source.is_file() or source.is_dir()):
        msg = f"{source} cannot back a volume: it is neither a file nor a folder."
        raise ValueError(msg)
    copies.mkdir(parents=True, exist_ok=True)
    return Backing(source, copies, reflinks(source, copies))


def take(jobs: Sequence[tuple[Backing, Path]]) -> CopySet:
    """Copy the source of each backing to its path; see the module's docstring for when this returns."""
    copies = CopySet(jobs)
    if not jobs:
        copies.torn = False
        copies.finished.set()
        return copies
    copies.method = "reflink" if all(each.reflinks for each, _ in jobs) else "plain"
    if copies.method == "reflink" or _bytes_of(jobs) <= SYNCHRONOUS_BYTES:
        _run(copies)
    else:
        threading.Thread(target=_run, args=(copies,), name="copy", daemon=True).start()
        copies.finished.wait(ANSWER_WAIT_SECONDS)
    return copies


def _bytes_of(jobs: Sequence[tuple[Backing, Path]]) -> int:
    """Return how much there is to copy; the holes of an image are nothing."""
    found = 0
    for each, _ in jobs:
        with suppress(FileNotFoundError):
            found += sum(path.lstat().st_blocks for path in _files(each.source))
    return found * _SECTOR


def _run(copies: CopySet) -> None:
    """Copy the set, and repeat while it is torn and a copy is cheap; never raises."""
    started = time.monotonic()
    try:
        while True:
            torn = _copy_once(copies.jobs)
            if not torn or time.monotonic() - started > RETRY_SECONDS:
                break
            for _, destination in copies.jobs:
                _remove(destination)
        copies.torn = torn
    except OSError as error:
        copies.error = f"The copy failed: {error}"
        copies.torn = True
    finally:
        copies.finished.set()


def _copy_once(jobs: Sequence[tuple[Backing, Path]]) -> bool:
    """Copy the set once and return whether it is torn."""
    begun_ns = time.time_ns()
    before = [_signature(each.source) for each, _ in jobs]
    with suppress(FileNotFoundError):  # a file vanished meanwhile: the signature shows it
        for each, destination in jobs:
            _copy(each.source, destination, clone=each.reflinks)
    if len(jobs) == 1 and jobs[0][0].reflinks and jobs[0][0].source.is_file():
        return False  # one clone is a point in time, whatever is written meanwhile
    if before != [_signature(each.source) for each, _ in jobs]:
        return True
    return not _fresh_files_agree(jobs, before, begun_ns)


def _fresh_files_agree(
    jobs: Sequence[tuple[Backing, Path]], before: Sequence[_Signature], begun_ns: int
) -> bool:
    """Compare the files with times that are too recent to be trusted; True if these files are too large."""
    fresh, size = [], 0
    for signature, (each, destination) in zip(before, jobs, strict=True):
        for name, _, file_size, modified_ns, changed_ns in signature:
            if max(modified_ns, changed_ns) > begun_ns - COARSE_CLOCK_NS:
                fresh.append((each.source / name, destination / name))
                size += file_size
    return size > SYNCHRONOUS_BYTES or all(_same(source, copy) for source, copy in fresh)


def _same(source: Path, copy: Path) -> bool:
    if source.is_dir() or source.is_symlink():
        return True
    return filecmp.cmp(source, copy, shallow=False)


def _files(source: Path) -> Iterator[Path]:
    """Yield the source and everything below it, each folder before its content."""
    yield source
    if source.is_dir() and not source.is_symlink():
        for each in sorted(source.iterdir()):
            yield from _files(each)


def _signature(source: Path) -> _Signature:
    found = []
    for path in _files(source):
        with suppress(FileNotFoundError):
            at = path.lstat()
            name = str(path.relative_to(source))
            found.append((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns))
    return tuple(found)


def _copy(source: Path, destination: Path, *, clone: bool) -> None:
    """Copy a file or a tree with owners, modes, times and links, but no sockets and no devices."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    folders = []
    for path in _files(source):
        target = destination / path.relative_to(source)
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            target.mkdir()
            folders.append((path, target))
        elif stat.S_ISLNK(mode):
            target.symlink_to(path.readlink())
        elif not stat.S_ISREG(mode):
            continue
        elif clone:
            _clone(path, target)
        else:
            _copy_data(path, target)
        if not stat.S_ISDIR(mode):
            _keep_attributes(path, target)
    for path, target in reversed(folders):  # folders last: filling them changed their times
        _keep_attributes(path, target)


def _clone(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())


def _copy_data(source: Path, target: Path) -> None:
    """Copy the parts of a file that hold data: an image is mostly holes."""
    with source.open("rb") as reader, target.open("xb") as writer:
        size, at = os.fstat(reader.fileno()).st_size, 0
        os.ftruncate(writer.fileno(), size)
        while at < size:
            try:
                at = os.lseek(reader.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # there is no data after this
                    return
                raise
            end = os.lseek(reader.fileno(), at, os.SEEK_HOLE)
            while at < end:
                piece = os.pread(reader.fileno(), min(end - at, _PIECE), at)
                if not piece:
                    return
                at += os.pwrite(writer.fileno(), piece, at)


def _keep_attributes(path: Path, target: Path) -> None:
    shutil.copystat(path, target, follow_symlinks=False)
    if os.geteuid() == 0:
        owner = path.lstat()
        os.chown(target, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _remove(destination: Path) -> None:
    if destination.is_dir() and not destination.is_symlink():
        shutil.rmtree(destination)
    else:
        destination.unlink(missing_ok=True)


def discard(copies: CopySet, destination: Path) -> None:
    """Remove one copy of the set, once it is finished, and the folder created for it."""
    copies.finished.wait()
    with suppress(FileNotFoundError):
        disks.place(destination).unlink(missing_ok=True)
        _remove(destination)
        destination.parent.rmdir()
