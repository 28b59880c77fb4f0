"""The data behind a volume is copied as it is at the moment of its snapshot."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws, SimulatedSnapshot, VolumeSpec, copying
from tests.contract.aws_clients import ec2
from tests.contract.test_simulated_aws import wait_until
from tests.ground import filesystems


def fire(aws: SimulatedAws, *volumes: VolumeSpec) -> list[SimulatedSnapshot]:
    """Create an instance with these volumes, and its snapshots."""
    instance = aws.add_instance(volumes=volumes)
    ec2(aws).create_snapshots(InstanceSpecification={"InstanceId": instance.instance_id})
    return [each for each in aws.snapshots() if each.instance_id == instance.instance_id]


def state_of(aws: SimulatedAws, made: SimulatedSnapshot) -> SimulatedSnapshot:
    return next(each for each in aws.snapshots() if each.snapshot_id == made.snapshot_id)


@contextlib.contextmanager
def writer(path: Path) -> Iterator[None]:
    """Write to a file all the time."""
    ended = threading.Event()

    def write() -> None:
        number = 0
        with path.open("r+b", buffering=0) as stream:
            while not ended.is_set():
                number += 1
                stream.seek(0)
                stream.write(b"%020d" % number)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_file_and_a_folder_are_copied_before_the_answer(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    image, folder = tmp_path / "disk.img", tmp_path / "data"
    image.write_bytes(b"before")
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_bytes(b"before")
    (folder / "inner" / "file").chmod(0o640)
    (folder / "link").symlink_to("inner/file")
    bare, of_image, of_folder = fire(
        simulated_aws, VolumeSpec(), VolumeSpec(backing=image), VolumeSpec(backing=folder)
    )
    image.write_bytes(b"after")
    (folder / "inner" / "file").write_bytes(b"after")
    assert (bare.copy, bare.copy_state) == (None, "none")
    assert of_image.copy == (
        simulated_aws.state_dir / "snapshots" / of_image.snapshot_id / "disk.img"
    )
    assert of_image.copy.read_bytes() == b"before"
    assert of_folder.copy is not None
    assert (of_folder.copy / "link").read_bytes() == b"before"
    assert (of_folder.copy / "link").is_symlink()
    assert (of_folder.copy / "inner" / "file").stat().st_mode & 0o777 == 0o640
    assert {(each.copy_state, each.torn) for each in (of_image, of_folder)} == {("done", False)}


def test_a_database_that_rests_is_copied_whole(simulated_aws: SimulatedAws, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as ledger:
        ledger.execute("PRAGMA journal_mode=WAL")
        ledger.execute("CREATE TABLE entries (amount INTEGER)")
        ledger.executemany("INSERT INTO entries VALUES (?)", [(n,) for n in range(10_000)])
        ledger.commit()
        (made,) = fire(simulated_aws, VolumeSpec(backing=folder))
        ledger.execute("DELETE FROM entries")
        ledger.commit()
    assert made.torn is False
    assert made.copy is not None
    with contextlib.closing(sqlite3.connect(made.copy / "ledger.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*), sum(amount) FROM entries").fetchone() == (
            10_000,
            sum(range(10_000)),
        )


def test_copies_go_where_they_are_wanted_and_vanish_with_their_snapshot(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    image, wanted = tmp_path / "disk.img", tmp_path / "copies"
    image.write_bytes(b"data")
    (made,) = fire(simulated_aws, VolumeSpec(backing=image, copy_to=wanted))
    assert made.copy == wanted / made.snapshot_id / "disk.img"
    simulated_aws.delete_snapshot(made.snapshot_id)
    assert list(wanted.iterdir()) == []
    simulated_aws.configure(copy_backing=False)
    (bare,) = fire(simulated_aws, VolumeSpec(backing=image, copy_to=wanted))
    assert (bare.copy, list(wanted.iterdir())) == (None, [])


def test_a_copy_that_fails_is_an_error_of_the_whole_set(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    image, copies = tmp_path / "disk.img", tmp_path / "copies"
    image.write_bytes(b"data")
    instance = simulated_aws.add_instance(
        volumes=[VolumeSpec(), VolumeSpec(backing=image, copy_to=copies)]
    )
    copies.rmdir()
    copies.write_text("no folder any more")
    client = ec2(simulated_aws)
    client.create_snapshots(InstanceSpecification={"InstanceId": instance.instance_id})
    wait_until(lambda: simulated_aws.snapshots()[0].state != "pending")
    first, second = simulated_aws.snapshots()
    assert (first.state, second.state) == ("error", "error")
    assert second.copy_state == "failed"
    assert "copies" in second.copy_error


def test_much_data_is_copied_beside_the_answer_and_torn_when_it_changes_meanwhile(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    simulated_aws.configure(pending_seconds=0)
    image = tmp_path / "disk.img"
    image.write_bytes(b"x" * (copying.SYNCHRONOUS_BYTES * 8))
    (quiet,) = fire(simulated_aws, VolumeSpec(backing=image))
    if quiet.copy_state == "copying":
        assert quiet.state == "pending"
    wait_until(lambda: state_of(simulated_aws, quiet).state == "completed")
    assert state_of(simulated_aws, quiet).torn is False
    with writer(image):  # on a busy machine it may get no turn while one copy is made
        assert any(_is_torn(simulated_aws, image) for _ in range(20))


def _is_torn(aws: SimulatedAws, image: Path) -> bool | None:
    (busy,) = fire(aws, VolumeSpec(backing=image))
    wait_until(lambda: state_of(aws, busy).copy_state == "done")
    return state_of(aws, busy).torn


def test_the_answer_does_not_wait_for_a_large_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    small.write_bytes(b"data")
    large.write_bytes(b"data" * (copying.SYNCHRONOUS_BYTES // 4 + 1))
    copy, released = copying._copy, threading.Event()

    def copy_late(source: Path, destination: Path, *, clone: bool) -> None:
        released.wait(10 if source == large else 0)
        copy(source, destination, clone=clone)

    monkeypatch.setattr(copying, "_copy", copy_late)
    monkeypatch.setattr(copying, "reflinks", lambda _source, _folder: False)
    backings = [copying.backing(each, tmp_path / "copies") for each in (large, small)]
    copies = copying.take([(backings[0], tmp_path / "copies" / "large")])
    assert (copies.state, copies.torn) == ("copying", None)
    assert copying.take([(backings[1], tmp_path / "copies" / "small")]).state == "done"
    released.set()
    wait_until(copies.finished.is_set)
    assert (copies.state, copies.torn) == ("done", False)


def test_a_write_between_the_copies_of_a_set_makes_it_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [tmp_path / "a", tmp_path / "b"]
    for image in images:
        image.write_bytes(b"before")
    time.sleep(0.05)
    backings = [copying.backing(image, tmp_path / "copies") for image in images]
    jobs = [(each, each.copies / f"copy-of-{each.source.name}") for each in backings]
    copy = copying._copy
    written: list[int] = []

    def copy_and_write(source: Path, destination: Path, *, clone: bool) -> None:
        copy(source, destination, clone=clone)
        if len(written) < wanted:
            written.append(images[0].write_bytes(b"after!"))

    monkeypatch.setattr(copying, "_copy", copy_and_write)
    monkeypatch.setattr(copying, "RETRY_SECONDS", 60.0)
    monkeypatch.setattr(copying, "ANSWER_WAIT_SECONDS", 60.0)
    wanted = 1
    assert copying.take(jobs).torn is False  # copied again, as long as this is cheap
    assert [target.read_bytes() for _, target in jobs] == [b"after!", b"before"]
    for _, target in jobs:
        target.unlink()
    monkeypatch.setattr(copying, "RETRY_SECONDS", 0.0)
    wanted = 2
    assert copying.take(jobs).torn is True


def test_a_write_that_the_clock_does_not_show_makes_a_fresh_file_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"before")
    job = (copying.backing(image, tmp_path / "copies"), tmp_path / "copies" / "copy")
    copy, signature = copying._copy, copying._signature(image)

    def copy_and_write(source: Path, destination: Path, *, clone: bool) -> None:
        copy(source, destination, clone=clone)
        image.write_bytes(b"after!")

    monkeypatch.setattr(copying, "_copy", copy_and_write)
    monkeypatch.setattr(copying, "_signature", lambda _: signature)
    monkeypatch.setattr(copying, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(copying, "COARSE_CLOCK_NS", 10**12)
    assert copying.take([job]).torn is True


@pytest.mark.real
def test_on_xfs_a_set_is_cloned_in_the_call_while_it_is_being_written(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    size = 64 * 1024 * 1024
    with filesystems.xfs(tmp_path, name="outer", megabytes=512) as outer:
        images = [outer.mount / f"disk{number}.img" for number in range(3)]
        for image in images:
            image.write_bytes(b"x" * size)
        os.sync()  # a clone waits for writes in progress, as on a busy disk
        specs = [VolumeSpec(backing=each, copy_to=outer.mount / "copies") for each in images]
        made = fire(simulated_aws, *specs)
        assert {(each.copy_method, each.torn) for each in made} == {("reflink", False)}
        spent = simulated_aws.calls("CreateSnapshots")[-1].service_seconds
        with writer(images[0]):
            (busy,) = fire(simulated_aws, specs[0])
        assert (busy.copy_method, busy.torn) == ("reflink", False)
        assert busy.copy is not None
        assert busy.copy.stat().st_size == size
        assert spent < 10
        # A second full copy of everything would not fit: so blocks are shared.
        for number in range(4):
            (more,) = fire(simulated_aws, specs[number % 3])
            assert more.copy_state == "done"


@pytest.mark.real
def test_the_image_of_a_frozen_file_system_is_cloned_and_mounts_again(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    with (
        filesystems.xfs(tmp_path, name="outer", megabytes=1024) as outer,
        filesystems.xfs(outer.mount, name="inner", megabytes=320) as inner,
    ):
        (inner.mount / "ledger").write_text("balanced")
        command = ["fsfreeze", "--freeze", str(inner.mount)]
        filesystems._run(command)
        try:
            spec = VolumeSpec(backing=inner.image, copy_to=outer.mount / "copies")
            (made,) = fire(simulated_aws, spec)
        finally:
            filesystems._run(["fsfreeze", "--unfreeze", str(inner.mount)])
        (inner.mount / "ledger").write_text("written later")
        assert (made.copy_method, made.torn) == ("reflink", False)
        assert made.copy is not None
        with filesystems.mounted(made.copy, tmp_path / "again", options=["nouuid"]) as again:
            assert (again.mount / "ledger").read_text() == "balanced"
