"""Images that were made to do harm, or are broken, are read harmlessly or refused with one sentence."""

import io
import os
import stat
import struct
import subprocess
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from policies.domain.errors import ImageDamagedError, ImageError, NoSuchPathError
from policies.ports.images import Tree
from tests.ground import filesystems, image_parts
from tests.ground import images as ground
from tests.ground.images import Ground

pytestmark = [pytest.mark.real, pytest.mark.lasts(60)]
ESCAPES = b"\x1b[2J<script>alert(1)</script>\n"
NOT_UTF8 = b"\xff\xfe\x00".replace(b"\x00", b"\x01")
MANY = 20_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground.ground(tmp_path_factory.mktemp("hostile")) as found:
        yield found


def fill(folder: Path) -> None:
    (folder / "absolute").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("../../../../etc")
    (folder / "self").symlink_to("self")
    (folder / "inner").symlink_to("plain")
    (folder / "plain").write_bytes(b"plain")
    (folder / "root-shell").write_bytes(b"#!/bin/sh\nid\n")
    (folder / "root-shell").chmod(0o6755)
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
    os.mknod(folder / "memory", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    raw = os.fsencode(folder)
    for name in (ESCAPES.replace(b"/", b"|"), NOT_UTF8, b"..\\..\\windows", b"C:evil"):
        Path(os.fsdecode(raw + b"/" + name)).write_bytes(b"odd")
    deep = folder / "deep"
    for _ in range(300):
        deep /= "d"
    deep.mkdir(parents=True)
    many = folder / "many"
    many.mkdir()
    for number in range(MANY):
        (many / f"{number:06}").touch()


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def tree(request: pytest.FixtureRequest, place: Ground) -> Iterator[Tree]:
    disk = ground.disk(place.folder, request.param, fill)
    with place.opened(place.snapshot(disk)) as opened:
        yield opened


@pytest.mark.parametrize(
    "path", [b"absolute", b"up", b"self", b"inner", b"pipe", b"disk", b"memory"]
)
def test_nothing_but_a_file_is_read(tree: Tree, path: bytes) -> None:
    assert tree.stat(path).kind in {"link", "other"}
    begun = time.monotonic()
    with pytest.raises(NoSuchPathError):
        tree.read(path)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "path", [b"up/passwd", b"inner/x", b"../etc/passwd", b"deep/../../etc", b"plain\0"]
)
def test_no_path_leads_out(tree: Tree, path: bytes) -> None:
    for deed in (tree.stat, tree.read, tree.listed):
        with pytest.raises(NoSuchPathError):
            deed(path)


def test_a_zip_of_everything_is_harmless(tree: Tree) -> None:
    whole = io.BytesIO(
        b"".join(tree.zipped([each.path for each in tree.listed().entries if each.path != b"many"]))
    )
    with zipfile.ZipFile(whole) as found:
        assert found.testzip() is None
        for info in found.infolist():
            assert not info.filename.startswith("/")
            assert ".." not in info.filename.split("/")
            assert not {"\\", ":", "\x1b", "\n"}.intersection(
                info.filename.replace("\\x", "").replace("\\n", "")
            )
            assert not info.external_attr >> 16 & 0o7022
            assert stat.S_IFMT(info.external_attr >> 16) in {0, stat.S_IFREG, stat.S_IFDIR}
        left_out = found.read("LEFT-OUT.txt").decode()
        assert found.read("plain") == b"plain"
        assert {"absolute", "pipe", "disk", "self"} <= {
            each.partition(" ")[0] for each in left_out.splitlines()
        }


def test_a_folder_of_many_files_comes_in_pages(tree: Tree) -> None:
    names, after = [], b""
    while True:
        page = tree.listed(b"many", after, 5000)
        names += [each.name for each in page.entries]
        if not page.more:
            break
        after = names[-1]
    assert names == [b"%06d" % number for number in range(MANY)]


def test_a_name_among_many_is_found_and_links_that_lead_round_end(tree: Tree) -> None:
    found = tree.found("01999")
    assert sorted(each.path for each in found.entries) == [
        b"many/%06d" % n for n in (1999, *range(19990, 20000))
    ]
    assert found.complete
    assert [each.path for each in tree.found("SELF").entries] == [b"self"]


def test_programs_have_no_way_to_more(tree: Tree) -> None:
    with pytest.raises(ImageError, match="cannot be started"):
        tree.run(["/tree/root-shell"], uid=1000, seconds=10)
    script = """
        id -u
        grep -E '^(NoNewPrivs|CapEff|CapBnd)' /proc/self/status
        cat /tree/disk 2>&1 | head -1; cat /etc/shadow 2>&1; ls /root /home 2>&1; ls /run
        mount -t tmpfs x /tmp 2>&1; kill -9 1 2>&1; echo > /usr/x 2>&1
        tail -n +3 /proc/net/dev | grep -vc lo:
    """
    said = tree.run(["/bin/sh", "-c", script], uid=1000, seconds=10).stdout.decode()
    assert said.startswith("1900001000\n")
    assert "NoNewPrivs:\t1" in said
    assert "CapEff:\t0000000000000000" in said
    assert said.count("No such file or directory") >= 2
    assert said.rstrip().endswith("0")
    assert "Permission denied" in said


def broken(disk: Path, name: str) -> Path:
    """Return a copy of the disk with harm done to it."""
    copy = disk.with_name(f"{name}-{disk.name}")
    subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
    size = disk.stat().st_size
    with copy.open("r+b") as file:
        if name == "zeros":
            file.truncate(0)
            file.truncate(size)
        elif name == "noise":
            file.write(os.urandom(1 << 20))
        elif name == "halved":
            file.truncate(size // 2)
            file.truncate(size)
        elif name == "swapped":
            first, second = os.pread(file.fileno(), 4096, 4096), os.pread(file.fileno(), 4096, 8192)
            os.pwrite(file.fileno(), second + first, 4096)
    return copy


def one_file(folder: Path) -> None:
    (folder / "x").write_bytes(b"x")


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, place: Ground) -> Path:
    return ground.disk(place.folder, request.param, one_file)


@pytest.mark.parametrize("harm", ["zeros", "noise", "halved", "swapped"])
def test_a_broken_image_is_refused_or_found_damaged(place: Ground, disk: Path, harm: str) -> None:
    order = place.order(place.snapshot(broken(disk, harm)))
    try:
        tree = place.images.opened(order)
    except ImageDamagedError as error:
        assert str(error).startswith(f"The snapshot {order.snapshot_id} cannot be opened: it")  # noqa: PT017 - either
    else:
        checked = tree.checked(60)
        assert checked.exit != 0
        tree.close()
    place.images.reap()
    assert image_parts.leftovers(order.key) == []


@pytest.mark.parametrize(
    ("at", "magic", "said"),
    [
        (65600, b"_BHRfS_M", "btrfs"),
        (4086, b"SWAPSPACE2", "swap"),
        (82, b"FAT32   ", "FAT"),
        (512, b"LABELONE", "LVM"),
        (0, b"LUKS\xba\xbe", "LUKS"),
    ],
)
def test_another_file_system_is_named(
    place: Ground, at: int, magic: bytes, said: str, tmp_path: Path
) -> None:
    image = tmp_path / "other"
    with image.open("wb") as file:
        file.truncate(128 * 1024**2)
        os.pwrite(file.fileno(), magic, at)
    with pytest.raises(ImageDamagedError, match=f"it holds only {said}: only ext4 and XFS are"):
        place.images.opened(place.order(place.snapshot(image)))


def gpt(sectors: list[tuple[int, int]]) -> bytes:
    """Return the first sectors of a disk with these partitions, each with its first and its last sector."""
    rows = [b"t" * 16 + b"u" * 16 + struct.pack("<QQ", *each) + bytes(80) for each in sectors]
    table = b"".join(rows).ljust(128 * 128, b"\0")
    head = b"EFI PART".ljust(72, b"\0") + struct.pack("<QIII", 2, 128, 128, zlib.crc32(table))
    return bytes(510) + b"\x55\xaa" + head.ljust(512, b"\0") + table


def mbr(sectors: list[tuple[int, int]]) -> bytes:
    rows = [struct.pack("<4xB3xII", 0x83, first, last + 1 - first) for first, last in sectors]
    return bytes(446) + b"".join(rows).ljust(64, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize("table", [gpt, mbr])
def test_the_partition_that_holds_a_file_system_is_opened(
    place: Ground, disk: Path, tmp_path: Path, table: Callable[[list[tuple[int, int]]], bytes]
) -> None:
    image = tmp_path / "parts"
    size = disk.stat().st_size
    with image.open("wb") as file:
        file.truncate(size + 8 * 1024**2)
        file.write(table([(2048, 4095), (4096, 4095 + size // 512)]))
    whole = ["bs=1M", "seek=2", "conv=notrunc,sparse", "status=none"]
    subprocess.run(["dd", f"if={disk}", f"of={image}", *whole], check=True)
    snapshot = place.snapshot(image)
    with place.opened(snapshot) as tree:
        assert tree.stat(b"x").size == 1
        found = [(each.number, each.is_readable) for each in tree.about().parts]
        assert found == [(1, False), (2, True)]
    with pytest.raises(ImageDamagedError, match="part 1 holds no ext4"):
        place.images.opened(place.order(snapshot, part=1))


def test_a_partition_table_that_lies_is_refused(place: Ground, tmp_path: Path) -> None:
    image = tmp_path / "lies"
    with image.open("wb") as file:
        file.truncate(128 * 1024**2)
        file.write(gpt([(2048, 4095)]).replace(b"tttt", b"lies", 1))
    with pytest.raises(ImageDamagedError, match="does not fit its own checksum"):
        place.images.opened(place.order(place.snapshot(image)))


def crashed(place: Ground, kind: str) -> tuple[str, int]:
    """Return a snapshot of a disk in use, with 249 files of which only the journal knows."""
    made = filesystems.xfs if kind == "xfs" else filesystems.ext4
    with made(place.folder, name=f"crash-{kind}", megabytes=512) as volume:
        subprocess.run(["sync", "-f", volume.mount], check=True)
        for number in range(249):
            (volume.mount / f"f{number:03}").write_bytes(b"x")
        last = os.open(volume.mount / "f248", os.O_RDONLY)
        os.fsync(last)
        os.close(last)
        snapshot = place.snapshot(volume.image)
    return snapshot, 249


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_the_journal_is_replayed_and_told_of(place: Ground, kind: str) -> None:
    snapshot, many = crashed(place, kind)
    with place.opened(snapshot) as tree:
        about = tree.about()
        assert (about.file_system, about.needs_recovery) == (kind, True)
        assert 0 < about.replay_bytes < 4 * 1024**2
        assert len([each for each in tree.listed(most=1000).entries if each.kind == "file"]) == many


def test_a_clean_journal_needs_no_recovery(place: Ground, tmp_path: Path) -> None:
    image = tmp_path / "clean"
    with image.open("wb") as file:
        file.truncate(512 * 1024**2)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    with place.opened(place.snapshot(image)) as tree:
        assert (tree.about().needs_recovery, tree.about().replay_bytes) == (False, 0)
