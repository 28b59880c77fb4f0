"""Real file systems on loop devices, to freeze, to copy in no time and to fill."""

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
    """A mounted file system and the image file that plays its disk."""

    mount: Path
    image: Path
    device: str

    def clone_image(self, target: Path) -> Path:
        """Copy the disk as it is at this moment, what was written to it and nothing in flight.

        Like a snapshot it lacks what is in the page cache only. The image and `target` must lie on
        one XFS with reflink, OSError otherwise.
        """
        return clone(self.image, target)


def clone(source: Path, target: Path) -> Path:
    """Make `target` share all blocks of the file `source`: atomic, and no byte is copied."""
    with source.open("rb") as original, target.open("wb") as copy:
        fcntl.ioctl(copy, FICLONE, original.fileno())
    return target


@contextlib.contextmanager
def xfs(folder: Path, *, name: str = "xfs", megabytes: int = 512) -> Iterator[Volume]:
    """Make an XFS with reflink, mounted at `folder/name`; 300 MB is the least mkfs.xfs makes."""
    make: list[str | Path] = [components.program("mkfs.xfs"), "-q", "-m", "reflink=1"]
    with _made(folder, name, megabytes, make, "xfs") as volume:
        yield volume


@contextlib.contextmanager
def ext4(folder: Path, *, name: str = "ext4", megabytes: int = 128) -> Iterator[Volume]:
    """Make an ext4, mounted at `folder/name`."""
    with _made(folder, name, megabytes, [components.program("mkfs.ext4"), "-q"], "ext4") as volume:
        yield volume


@contextlib.contextmanager
def mounted(
    image: Path, at: Path, *, kind: str = "xfs", options: Sequence[str] = ()
) -> Iterator[Volume]:
    """Mount an image at the folder `at`; in the end it is thawed, unmounted and detached.

    The copy of an XFS that is still mounted needs the option `nouuid`.
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
    with image.open("xb") as file:  # two of one name would lie on one image
        file.truncate(megabytes * 1024 * 1024)
    try:
        _run([*make, image])
        with mounted(image, folder / name, kind=kind) as volume:
            yield volume
    finally:
        image.unlink()


def _attach(image: Path) -> str:
    # Another process may take the free device between losetup's look and its grasp: try again.
    command: list[str | Path] = [components.program("losetup"), "--find", "--show", image]
    complaint = ""
    for _ in range(10):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
        complaint = done.stderr.strip()
    return components.missing(f"no loop device for {image}: {complaint}")


def _unmount(at: Path) -> None:
    """Unmount, in the worst case lazily: what still holds it then keeps it until it ends."""
    # Thaw first: whoever unmounts a frozen file system waits for ever.
    subprocess.run(
        [components.program("fsfreeze"), "--unfreeze", at], capture_output=True, check=False
    )

    def done() -> bool:
        command = [components.program("umount"), at]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    try:
        processes.wait_until(done, seconds=60, what=f"{at} can be unmounted")
    except TimeoutError:
        # It may be nothing of ours: a mount namespace made meanwhile has a copy of our mounts.
        _run(["umount", "--lazy", str(at)])


def _run(command: Sequence[str | Path]) -> None:
    program, *rest = command
    done = subprocess.run(
        [components.program(str(program)), *rest], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr.strip()}")
