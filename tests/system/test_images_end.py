"""Whoever of an image's processes is killed, and whenever: nothing of the image is left."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from policies.adapters import image_opener
from policies.adapters.images import HomeImages
from policies.domain.errors import BackupError, ImageError, ImageGoneError
from tests.ground import image_parts
from tests.ground import images as ground
from tests.ground.images import Ground

pytestmark = [pytest.mark.real, pytest.mark.lasts(60)]


def fill(folder: Path) -> None:
    (folder / "large").write_bytes(os.urandom(24 * 1024**2))
    (folder / "small").write_bytes(b"small")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, str]]:
    folder = tmp_path_factory.mktemp("ends")
    with ground.ground(folder) as found:
        yield found, found.snapshot(ground.disk(folder, "xfs", fill))


@pytest.fixture(autouse=True)
def calm(place: tuple[Ground, str]) -> Iterator[None]:
    """A test that failed leaves the next one neither its faults nor its images."""
    found, _ = place
    yield
    found.aws.configure(latency_seconds={})
    found.aws.clear_faults()
    for folder in found.home.iterdir():
        if folder.is_dir():
            image_opener.close(folder)
    found.images.reap()


def seen(found: Ground, key: str, part: str) -> int:
    """Return the pid of this part of the image once it is there."""
    ends = time.monotonic() + 30.0
    while not (pid := image_parts.family(found.home, key).get(part, 0)):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return pid


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def assert_nothing_is_left(found: Ground, key: str) -> None:
    until(lambda: not image_parts.family(found.home, key) and not image_parts.leftovers(key))
    found.images.reap()
    assert image_parts.leftovers(key) == []
    assert [each.name for each in found.home.iterdir()] == [".counting"]
    assert key not in list(found.images.keys())


@pytest.mark.parametrize("part", image_parts.PARTS)
def test_a_killed_process_takes_the_open_image_along(place: tuple[Ground, str], part: str) -> None:
    found, snapshot = place
    tree = found.images.opened(found.order(snapshot))
    tree.started(["/bin/sh", "-c", "while :; do echo x >> /tree/more; done"], uid=0, seconds=60)
    alive = image_parts.family(found.home, tree.key)
    assert set(alive) == set(image_parts.PARTS)
    os.kill(alive[part], signal.SIGKILL)
    assert_nothing_is_left(found, tree.key)
    with pytest.raises(ImageGoneError):
        tree.stat(b"small")


@pytest.mark.parametrize("part", image_parts.PARTS)
def test_a_process_killed_while_the_image_opens(place: tuple[Ground, str], part: str) -> None:
    found, snapshot = place
    found.aws.configure(latency_seconds={"GetSnapshotBlock": 0.3})
    order = found.order(snapshot)
    process = found.images.begun(order)
    try:
        os.kill(seen(found, order.key, part), signal.SIGKILL)
        with pytest.raises(ImageError):
            found.images.waited(order, process)
    finally:
        found.aws.configure(latency_seconds={})
    assert_nothing_is_left(found, order.key)


def test_one_killed_while_it_is_read_and_written(place: tuple[Ground, str]) -> None:
    found, snapshot = place
    tree = found.images.opened(found.order(snapshot))
    found.aws.configure(latency_seconds={"GetSnapshotBlock": 0.2})
    pieces = tree.read(b"large")
    next(pieces)
    os.kill(image_parts.family(found.home, tree.key)["hands"], signal.SIGKILL)
    with pytest.raises(ImageGoneError):
        list(pieces)
    found.aws.configure(latency_seconds={})
    assert_nothing_is_left(found, tree.key)


def test_one_that_waits_for_aws_is_closed_all_the_same(place: tuple[Ground, str]) -> None:
    found, snapshot = place
    tree = found.images.opened(found.order(snapshot))
    found.aws.fault("GetSnapshotBlock", "hang", times=None, seconds=60)
    number = tree.started(["/bin/cat", "/tree/large"], uid=0, seconds=60)
    until(lambda: any(each.outcome == "serving" for each in found.aws.calls("GetSnapshotBlock")))
    assert tree.said(number).exit is None
    begun = time.monotonic()
    tree.close()
    assert_nothing_is_left(found, tree.key)
    assert time.monotonic() - begun < 20
    found.aws.clear_faults()


@pytest.mark.parametrize("part", ["opener", "hands", "nbdfuse"])
def test_one_that_is_being_opened_is_closed_and_opened_again(
    place: tuple[Ground, str], part: str
) -> None:
    found, snapshot = place
    found.aws.configure(latency_seconds={"GetSnapshotBlock": 0.3})
    order = found.order(snapshot)
    first = found.images.begun(order)
    seen(found, order.key, part)
    if part == "hands":
        found.images.again(order.key).close()
        assert_nothing_is_left(found, order.key)
    found.aws.configure(latency_seconds={})
    tree = found.images.opened(order)
    with pytest.raises(ImageError):
        found.images.waited(order, first)
    assert tree.stat(b"small").size == 5
    tree.close()
    assert_nothing_is_left(found, order.key)


def test_an_image_ends_with_its_time(place: tuple[Ground, str]) -> None:
    found, snapshot = place
    tree = found.images.opened(found.order(snapshot, seconds=3.0))
    until(lambda: tree.key not in list(found.images.keys()), 30.0)
    assert_nothing_is_left(found, tree.key)


def test_an_overlay_that_grows_too_large_ends_the_image(place: tuple[Ground, str]) -> None:
    found, snapshot = place
    tree = found.images.opened(found.order(snapshot, overlay_bytes=20 * 1024**2))
    with pytest.raises(ImageGoneError):
        tree.run(
            ["/bin/sh", "-c", "dd if=/dev/urandom of=/tree/more bs=1M count=200 conv=fsync"],
            uid=0,
            seconds=60,
        )
    assert_nothing_is_left(found, tree.key)


def test_a_reaper_ends_only_what_has_no_keeper_in_its_own_home(
    place: tuple[Ground, str], tmp_path: Path
) -> None:
    found, snapshot = place
    other = HomeImages(tmp_path)
    with found.opened(snapshot) as tree:
        assert (other.reap(), found.images.reap()) == (0, 0)
        assert tree.stat(b"small").size == 5
        # A folder whose keeper is gone, while its disk's processes are not: as if all else had failed.
        opener = image_opener.home_of(found.home)
        control, process = image_opener.launched(
            {"do": "reap images", "home": opener, "living": []}, []
        )
        with control, process:
            assert json.loads(control.recv(65536))["keys"] == [tree.key]
        until(lambda: not found.images.keys())
    assert_nothing_is_left(found, tree.key)


def test_a_folder_without_a_keeper_is_reaped(place: tuple[Ground, str]) -> None:
    found, _ = place
    (found.home / "left" / image_opener.OVERLAY).mkdir(parents=True)
    assert found.images.reap() == 1
    assert [each.name for each in found.home.iterdir()] == [".counting"]


def test_too_many_are_refused(place: tuple[Ground, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found, snapshot = place
    monkeypatch.setattr("policies.adapters.images.MOST_OPEN", 1)
    with found.opened(snapshot), pytest.raises(ImageError, match="1 snapshots are open"):
        found.images.opened(found.order(snapshot))


def test_blocks_that_do_not_come_end_in_a_sentence(place: tuple[Ground, str]) -> None:
    found, snapshot = place
    found.aws.fault("GetSnapshotBlock", "denied", times=None)
    order = found.order(snapshot)
    with pytest.raises(BackupError, match=r"ebs:GetSnapshotBlock"):
        found.images.opened(order)
    found.aws.clear_faults()
    assert_nothing_is_left(found, order.key)


def test_blocks_that_stop_coming_do_not_hold_up_sync(place: tuple[Ground, str]) -> None:
    found, snapshot = place
    with found.opened(snapshot) as tree:
        found.aws.fault("GetSnapshotBlock", "denied", times=None)
        script = "echo x > /tree/new; mkdir /tree/a /tree/b; sync -f /tree"
        begun = time.monotonic()
        tree.run(["/bin/sh", "-c", script], uid=0, seconds=30)
        assert time.monotonic() - begun < 20
        found.aws.clear_faults()
