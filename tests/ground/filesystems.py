"""Real file systems on loop devices, to freeze, to clone and to fill."""

import contextlib
import fcntl
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ground import components, processes

FICLONE = 0x40049409  # ioctl(target, FICLONE, source): share the blocks, atomically


@dataclass(frozen=True)
class Volume:
    """A mounted file system and the image file that is its disk."""

    mount: Path
    image: Path
    device: str

    def clone_image(self, target: Path) -> Path:
        """Copy the disk as it is at this moment: everything written to it, and nothing in flight.

        Like a snapshot, it lacks data that is only in the page cache. The image and `target` must be on
        the same XFS with reflink, else OSError.
        """
        return clone(self.image, target)


def clone(source: Path, target: Path) -> Path:
    """Create `target` with all blocks shared with the file `source`: atomic, and no byte is copied."""
    with source.open("rb") as original, target.open("wb") as copy:
        fcntl.ioctl(copy, FICLONE, original.fileno())
    return target


@contextlib.contextmanager
def xfs(folder: Path, *, name: str = "xfs", megabytes: int = 512) -> Iterator[Volume]:
    """Create an XFS with reflink, mounted at `folder/name`; mkfs.xfs needs at least 300 MB."""
    make: list[str | Path] = [components.program("mkfs.xfs"), "-q", "-m", "reflink=1"]
    with _made(folder, name, megabytes, make, "xfs") as volume:
        yield volume


@contextlib.contextmanager
def ext4(folder: Path, *, name: str = "ext4", megabytes: int = 128) -> Iterator[Volume]:
    """Create an ext4, mounted at `folder/name`."""
    with _made(folder, name, megabytes, [components.program("mkfs.ext4"), "-q"], "ext4") as volume:
        yield volume


@contextlib.contextmanager
def mounted(
    image: Path, at: Path, *, kind: str = "xfs", options: Sequence[str] = ()
) -> Iterator[Volume]:
    """Mount an image at the folder `at`; at the end it is thawed, unmounted and detached.

    The copy of an XFS needs the option `nouuid` while the original is mounted.
    """
    components.needs_root("a loop device")
    at.mkdir(parents=True, exist_ok=True)
    device = _attach(image)
    try:
        command = ["mount", "-t", kind, *(["-o", ",".join(options)] if options else [])]
        _run([*command, device, str(at)])
        try:
            yield Volume(at, image, device)
        finally:
            _unmount(at)
    finally:
        _run(["losetup", "--detach", device])


@contextlib.contextmanager
def _made(
    folder: Path, name: str, megabytes: int, make: Sequence[str | Path], kind: str
) -> Iterator[Volume]:
    components.needs_root("a file system of its own")
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"{name}.img"
    with image.open("xb") as file:  # two file systems with one name would share one image
        file.truncate(megabytes * 1024 * 1024)
    try:
        _run([*make, image])
        with mounted(image, folder / name, kind=kind) as volume:
            yield volume
    finally:
        image.unlink()


def _attach(image: Path) -> str:
    # Another process may take the free device between losetup's check and its use: try again.
    command: list[str | Path] = [components.program("losetup"), "--find", "--show", image]
    complaint = ""
    for _ in range(10):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
        complaint = done.stderr.strip()
    return components.missing(f"no loop device for {image}: {complaint}")


def _unmount(at: Path) -> None:
    """Unmount, if necessary lazily: a process that still uses it then keeps it until that process ends."""
    # Thaw first: unmounting a frozen file system waits for ever.
    subprocess.run(
        [components.program("fsfreeze"), "--unfreeze", at], capture_output=True, check=False
    )

    def done() -> bool:
        command = [components.program("umount"), at]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    try:
        processes.wait_until(done, seconds=60, what=f"{at} can be unmounted")
    except TimeoutError:
        # The user may not be ours: a mount namespace created meanwhile has a copy of our mounts.
        _run(["umount", "--lazy", str(at)])


def _run(command: Sequence[str | Path]) -> None:
    program, *rest = command
    done = subprocess.run(
        [components.program(str(program)), *rest], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr.strip()}")
