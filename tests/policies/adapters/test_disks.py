"""Whatever bytes a disk has, its parts and its journal are read to an end, or refused with a sentence."""

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from n2wbackup_run import disks, journals
from n2wbackup_run.accounts import RefusedError

from policies.adapters import images
from policies.adapters.images import HomeImages
from policies.domain.errors import ImageNotPossibleError
from policies.ports.images import Order
from scripts_admin.guard import launching

SIZE = 4 * 1024**2
PLACES = [0, 446, 510, 512, 584, 1024, 1080, 1292, 4096, 65600, 1024**2]
MAGICS = [
    b"XFSB",
    b"\x53\xef",
    b"EFI PART",
    b"\x55\xaa",
    b"\xfe\xed\xba\xbe",
    b"\xc0\x3b\x39\x98",
    b"\x0a\xf3",
]
PIECES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from([b"", *MAGICS]), st.binary(max_size=600)),
    max_size=6,
)


@contextlib.contextmanager
def disk(pieces: list[tuple[int, bytes, bytes]]) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        for at, magic, more in pieces:
            os.pwrite(file.fileno(), magic + more, at)
        yield file.fileno()


@given(PIECES)
def test_parts_lie_within_the_disk_or_are_refused(pieces: list[tuple[int, bytes, bytes]]) -> None:
    with disk(pieces) as file:
        try:
            found = disks.parts(file, SIZE)
            chosen = disks.chosen(found, -1)
        except RefusedError as error:
            assert str(error)  # noqa: PT017 - either
        else:
            assert all(0 <= each.offset < each.offset + each.size <= SIZE for each in found)
            assert chosen.file_system in disks.MOUNTED


@given(PIECES, st.sampled_from(["ext4", "xfs"]))
def test_a_journal_is_read_to_an_end(pieces: list[tuple[int, bytes, bytes]], kind: str) -> None:
    with disk(pieces) as file:
        found = journals.read(file, 0, kind)
    assert found.replay_bytes >= -1


def test_a_file_system_of_an_older_kind_is_named() -> None:
    old = struct.pack("<I", 0x2)
    with disk([(1080, b"\x53\xef", b""), (1024 + 96, old, b"")]) as file:
        assert [each.file_system for each in disks.parts(file, SIZE)] == ["ext2"]


# What a server lacks to open snapshots


def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_PROGRAMS", (("/usr/bin/none", "some-package"),))
    opener = HomeImages(tmp_path)
    with pytest.raises(ImageNotPossibleError, match="install the package some-package"):
        opener.opened(Order("6c1b1f0e-0000-4000-8000-000000000000", "us-east-1", "snap-1"))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_root_needs_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_PROGRAMS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(launching, "LAUNCHER", str(tmp_path / "none"))
    assert "run deploy/launcher/install as root" in HomeImages(tmp_path).why_not()
