"""Real file systems behind snapshots of a simulated AWS, opened as images."""

import contextlib
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.adapters.images import HomeImages
from policies.ports import Credentials
from policies.ports.images import Order, Tree
from tests.ground import components, filesystems

REGION = "us-east-1"
KEY, SECRET = "AKIAIMAGES", "secret-of-images"
Fill = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """A simulated AWS whose snapshots are disks, and a server's folder for what is opened."""

    aws: SimulatedAws
    images: HomeImages
    home: Path
    folder: Path

    def snapshot(self, disk: Path) -> str:
        """Return a snapshot of the disk as it is now."""
        volume = self.aws.add_volume(volume=VolumeSpec(backing=disk, size_gib=_gib(disk)))
        client = boto3.client(
            "ec2",
            region_name=REGION,
            endpoint_url=self.aws.endpoint_url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        made: str = client.create_snapshot(VolumeId=volume)["SnapshotId"]
        return made

    def order(self, snapshot_id: str, **more: object) -> Order:
        key = str(uuid.uuid4())
        made = Order(key, REGION, snapshot_id, Credentials(KEY, SECRET), seconds=120)
        return replace(made, **more)  # type: ignore[arg-type] # its own fields

    @contextlib.contextmanager
    def opened(self, snapshot_id: str, **more: object) -> Iterator[Tree]:
        tree = self.images.opened(self.order(snapshot_id, **more))
        try:
            yield tree
        finally:
            tree.close()


def _gib(disk: Path) -> int:
    return -(-disk.stat().st_size // 1024**3)


@contextlib.contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Start the AWS; at the end, all that is open is closed."""
    components.needs_root("opening snapshots")
    options = {"pending_seconds": 0.0, "per_volume_interval_seconds": 0.0}
    with SimulatedAws(folder / "aws", **options) as aws:  # type: ignore[arg-type] # two of them
        aws.add_account(KEY, SECRET)
        home = folder / "home"
        home.mkdir(mode=0o700)
        images = HomeImages(home)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
            try:
                yield Ground(aws, images, home, folder)
            finally:
                for key in [*images.keys()]:
                    images.again(key).close()


def disk(folder: Path, kind: str, fill: Fill, megabytes: int = 512) -> Path:
    """Return the image of a file system that was filled and unmounted."""
    made = filesystems.xfs if kind == "xfs" else filesystems.ext4
    with made(folder, name=kind, megabytes=megabytes) as volume:
        fill(volume.mount)
        image = volume.image
        kept = folder / f"kept-{uuid.uuid4()}"
        subprocess.run(["fsfreeze", "-f", volume.mount], check=True)
        try:
            subprocess.run(["cp", "--sparse=always", image, kept], check=True)
        finally:
            subprocess.run(["fsfreeze", "-u", volume.mount], check=True)
    return kept
