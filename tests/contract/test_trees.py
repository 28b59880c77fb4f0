"""What an opened image promises: the twin in memory is held to the same as a real one."""

import io
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from policies.adapters.folder_images import FolderImages
from policies.domain.errors import ImageGoneError, NoSuchPathError
from policies.ports.images import Images, Order, Tree
from tests.ground import images as ground

SNAPSHOT = "snap-00000000000000001"
ODD = "tab\there <b>\udcff"


def fill(folder: Path) -> None:
    """Lay the files that the tests look for."""
    (folder / "etc").mkdir()
    (folder / "etc/app.conf").write_bytes(b"port=1\n" * 30_000)
    (folder / "etc/empty").write_bytes(b"")
    (folder / "etc" / ODD).write_bytes(b"odd\n")
    (folder / "out").symlink_to("/etc")
    (folder / "loop").symlink_to("loop")
    for number in range(25):
        (folder / f"n{number:02}").write_bytes(b"x")


@dataclass(frozen=True, slots=True)
class Place:
    images: Images
    order: Callable[[], Order]


@pytest.fixture(scope="module", params=["folder", "ext4", "xfs"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("trees")
    if request.param == "folder":
        content = folder / "content"
        content.mkdir()
        fill(content)
        twin = FolderImages({SNAPSHOT: content})
        yield Place(twin, lambda: Order(str(uuid.uuid4()), "us-east-1", SNAPSHOT))
        return
    with ground.ground(folder) as found:
        snapshot = found.snapshot(ground.disk(folder, request.param, fill))
        yield Place(found.images, lambda: found.order(snapshot))


@pytest.fixture(scope="module")
def images(place: Place) -> Images:
    return place.images


@pytest.fixture(scope="module")
def tree(place: Place) -> Iterator[Tree]:
    opened = place.images.opened(place.order())
    yield opened
    opened.close()


def test_a_folder_is_read_page_by_page(tree: Tree) -> None:
    first = tree.listed(most=10)
    names = [each.name for each in first.entries]
    while first.more:
        first = tree.listed(after=names[-1], most=10)
        names += [each.name for each in first.entries]
    plain = [each for each in names if each != b"lost+found"]
    assert plain == sorted([b"etc", b"loop", b"out", *(b"n%02d" % n for n in range(25))])


def test_names_are_bytes_and_links_are_only_shown(tree: Tree) -> None:
    assert {each.path for each in tree.listed(b"etc").entries} == {
        b"etc/app.conf",
        b"etc/empty",
        b"etc/tab\there <b>\xff",
    }
    link = tree.stat(b"out")
    assert (link.kind, link.target) == ("link", b"/etc")


@pytest.mark.parametrize("path", [b"out", b"loop", b"etc", b"none", b"etc/app.conf/x"])
def test_only_files_are_read(tree: Tree, path: bytes) -> None:
    with pytest.raises(NoSuchPathError):
        b"".join(tree.read(path))


@pytest.mark.parametrize("path", [b"../etc", b"etc/../..", b"/etc", b"out/passwd", b"loop/x"])
def test_no_path_leads_out(tree: Tree, path: bytes) -> None:
    for deed in (tree.stat, tree.read, tree.listed):
        with pytest.raises(NoSuchPathError):
            deed(path)
    with pytest.raises(NoSuchPathError):
        tree.zipped([path])


def test_a_file_is_read_whole_or_its_begin(tree: Tree) -> None:
    assert b"".join(tree.read(b"etc/app.conf")) == b"port=1\n" * 30_000
    assert b"".join(tree.read(b"etc/app.conf", most=6)) == b"port=1"
    assert b"".join(tree.read(b"etc/app.conf", start=209_998)) == b"1\n"
    assert b"".join(tree.read(b"etc/app.conf", most=3, start=7)) == b"por"
    assert b"".join(tree.read(b"etc/app.conf", start=300_000)) == b""
    assert b"".join(tree.read(b"etc/empty")) == b""


def test_a_zip_has_the_files_and_names_what_it_leaves_out(tree: Tree) -> None:
    with zipfile.ZipFile(io.BytesIO(b"".join(tree.zipped([b"etc", b"out"])))) as found:
        assert found.testzip() is None
        assert found.read("etc/app.conf") == b"port=1\n" * 30_000
        assert "out" in found.read("LEFT-OUT.txt").decode()
        assert not {"out", "passwd"}.intersection(found.namelist())


def test_a_search_by_name_ends_at_its_most(tree: Tree) -> None:
    assert [each.path for each in tree.found("APP conf").entries] == [b"etc/app.conf"]
    found = tree.found("n", most=3)
    assert (len(found.entries), found.complete) == (3, False)


def test_a_program_sees_the_tree_and_what_is_laid_beside_it(tree: Tree) -> None:
    ran = tree.run(
        ["/bin/sh", "-c", 'cat "$1" && /proof/more', "sh", f"{tree.about().root}/n01"],
        uid=0,
        seconds=10,
        files={"more": b'#!/bin/sh\necho "$WORD"; exit 3\n'},
        env={"WORD": "said"},
    )
    assert (ran.stdout, ran.exit) == (b"xsaid\n", 3)


def test_a_program_that_is_late_is_killed(tree: Tree) -> None:
    ran = tree.run(["/bin/sleep", "60"], uid=0, seconds=0.3)
    assert (ran.late, ran.exit) == (True, -9)


def test_a_started_program_is_heard_and_ended(tree: Tree) -> None:
    number = tree.started(["/bin/sleep", "60"], uid=0, seconds=30)
    assert tree.said(number).exit is None
    assert tree.ended(number).exit == -15


def test_a_check_says_that_the_file_system_is_whole(place: Place) -> None:
    opened = place.images.opened(place.order())
    assert opened.checked(60).exit == 0
    assert opened.stat(b"n01").size == 1
    opened.close()


def test_a_closed_image_is_gone(place: Place) -> None:
    images = place.images
    before = images.keys()
    tree = images.opened(place.order())
    assert set(images.keys()) == {*before, tree.key}
    assert images.again(tree.key).stat(b"n01").size == 1
    tree.close()
    tree.close()
    assert images.keys() == before
    with pytest.raises(ImageGoneError):
        images.again(tree.key)
    with pytest.raises(ImageGoneError):
        tree.about()
