"""A tree of very many names is read within limits of time and memory, and a limit that is reached is told."""

import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from n2wbackup_run import trees
from n2wbackup_run.accounts import RefusedError

MANY = 3_000


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder of many files in it, a deep one, and links that lead round."""
    top = tmp_path_factory.mktemp("trees")
    many = top / "many"
    many.mkdir()
    for number in range(MANY):
        (many / f"{number:06}").touch()
    (many / "round").symlink_to(top)
    (top / "a" / "b" / "c").mkdir(parents=True)
    (top / "a" / "b" / "c" / "Wanted.txt").write_text("x")
    return top


@pytest.fixture
def tree(full: Path) -> Iterator[trees.Tree]:
    made = trees.Tree(str(full))
    yield made
    made.close()


def test_a_search_looks_at_names_and_reads_more_only_of_what_it_finds(
    tree: trees.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    original = trees._entry

    def counted(folder: int, name: bytes, path: bytes) -> object:
        read.append(name)
        return original(folder, name, path)

    monkeypatch.setattr(trees, "_entry", counted)

    found = tree.found("WANT txt", 10, b"")

    assert [each["path"] for each in found["entries"]] == ["a/b/c/Wanted.txt"]
    assert (found["entries"][0]["size"], found["complete"]) == (1, True)
    assert read == [b"Wanted.txt"]


def test_a_search_through_links_that_lead_round_comes_to_an_end(tree: trees.Tree) -> None:
    found = tree.found("round", 10, b"")

    assert [each["path"] for each in found["entries"]] == ["many/round"]
    assert found["complete"]


@pytest.mark.parametrize(("limit", "value"), [("MOST_SEARCHED", 100), ("SEARCH_SECONDS", 0.0)])
def test_a_search_that_reaches_its_limit_says_that_it_is_not_complete(
    limit: str, value: float, tree: trees.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, limit, value)

    assert tree.found("nothing is called so", 10, b"many") == {"entries": [], "complete": False}


def test_a_folder_that_takes_too_long_is_refused_with_a_sentence(
    tree: trees.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "LIST_SECONDS", 0.0)

    with pytest.raises(RefusedError, match="so many names that 0 s were not enough to read them"):
        tree.listed(b"many", b"", 10)
    with pytest.raises(
        RefusedError, match="so many names"
    ):  # also where each name is one of an earlier page
        tree.listed(b"many", b"\xff", 10)
    assert [each["path"] for each in tree.listed(b"a", b"", 10)["entries"]] == ["a/b"]


def test_a_page_of_a_folder_takes_the_memory_of_a_page(tree: trees.Tree) -> None:
    tree.listed(b"many", b"", 10)
    tracemalloc.start()
    tree.listed(b"many", b"", 10)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 100 * 1024


def test_a_zip_that_reaches_its_limit_is_whole_and_says_that_more_was_there(
    tree: trees.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_ZIPPED", 1_000)

    whole = zipfile.ZipFile(io.BytesIO(b"".join(tree.zipped([b""]))))

    assert whole.testzip() is None
    told = whole.read("LEFT-OUT.txt").decode().splitlines()
    assert told[0].startswith("NOT ALL OF IT IS HERE: a zip takes 1,000 files and folders.")
    assert 900 < len(whole.namelist()) <= 1_001


def test_a_zip_within_its_limit_has_everything(tree: trees.Tree) -> None:
    whole = zipfile.ZipFile(io.BytesIO(b"".join(tree.zipped([b"many"]))))

    assert len([name for name in whole.namelist() if name != "LEFT-OUT.txt"]) == MANY + 1
    assert whole.read("LEFT-OUT.txt").decode() == "many/round (link)\n"
