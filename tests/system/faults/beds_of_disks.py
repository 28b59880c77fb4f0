"""Servers with a restore point that has real blocks: a database's, on a file system, to be proven."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import components, filesystems, processes, redis
from tests.system.faults import beds
from tests.system.faults.bed import Bed
from tests.system.product import Product
from tests.system.proof_runs import LET_OPEN

MARK = """redis-cli -s {socket} LPUSH n2wbackup_marks "$N2W_MARK $EPOCHSECONDS"
redis-cli -s {socket} SAVE
sync -f {mount}"""
DISK_MEGABYTES = 600  # for overlays; what is opened is closed when less than 256 are free


@contextlib.contextmanager
def with_a_disk() -> Iterator[Bed]:
    """Serve a policy whose restore point is a Redis on an XFS, and has the run's mark."""
    with processes.folder(under=beds.OUTSIDE) as folder, _with_a_disk(folder) as bed:
        yield bed


@contextlib.contextmanager
def with_a_disk_and_little_room() -> Iterator[Bed]:
    """Serve as `with_a_disk`; overlays lie on a small file system of their own, which is the bed's mount."""
    with (
        processes.folder(under=beds.OUTSIDE) as folder,
        filesystems.ext4(folder, name="room", megabytes=DISK_MEGABYTES) as room,
    ):
        (room.mount / "images").mkdir(mode=0o700)
        with _with_a_disk(folder, room.mount / "images") as bed:
            bed.mount = room.mount
            yield bed


@contextlib.contextmanager
def _with_a_disk(folder: Path, images: Path | None = None) -> Iterator[Bed]:
    components.needs_root("a file system of its own, and what opens a snapshot")
    for program in ("nbdkit", "nbdfuse", "redis-server", "redis-cli"):
        components.program(program)

    def prepare(product: Product) -> None:
        at = product.home / "images"
        at.mkdir(mode=0o700, exist_ok=True)
        if images:
            subprocess.run(["mount", "--bind", images, at], check=True)

    with contextlib.ExitStack() as kept, filesystems.xfs(folder, name="data") as disk:
        volumes = [VolumeSpec(), VolumeSpec(backing=disk.image)]
        if images:
            kept.callback(_unmount, folder / "home/images")
        with beds.made(folder / "home", volumes=volumes, prepare=prepare) as bed:
            bed.product.succeed("shell", "--command", LET_OPEN)
            with redis.running(
                "redis", folder / "redis", data=disk.mount / "redis", persistence="rdb"
            ) as server:
                server.ask("SET", "left", "1")
                bed.scripts(before=MARK.format(socket=server.socket, mount=disk.mount))
                bed.point = bed.product.start_run()
                ended = bed.product.wait_for_end(bed.point)
                assert ended["state"] == "succeeded", ended["reason"]
            yield bed


def _unmount(at: Path) -> None:
    subprocess.run(["umount", "--lazy", at], check=False, capture_output=True)
