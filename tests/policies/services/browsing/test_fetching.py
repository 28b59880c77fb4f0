"""Files are copied into a folder of the caller's: whole, never over something, never setuid, never through a link."""

import os
import stat
from pathlib import Path

import pytest

from policies.adapters.folder_images import FolderImages
from policies.domain.browsing.states import State
from policies.domain.errors import ImageDamagedError, RefusedError
from policies.models import OpenedSnapshot, RunSnapshot
from policies.services.browsing import copying, fetching, using
from scripts_admin.models import AuditEntry
from tests.policies.services.browsing.opened import HTML, NOT_UTF_8, open_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def to(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir(mode=0o700)
    return made


def inside(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


def test_a_file_is_copied_and_the_snapshot_closed(
    snapshot: RunSnapshot, images: FolderImages, to: Path
) -> None:
    done = fetching.fetch(snapshot, "/var/lib/ledger.db", to, by="alice")

    assert (to / "ledger.db").read_bytes() == b"0123456789" * 1000
    assert (done.files, done.bytes, done.left_out) == (1, 10_000, 0)
    assert OpenedSnapshot.objects.get().state == State.CLOSED
    assert images.keys() == ()
    entry = AuditEntry.objects.latest("pk")
    assert ["path", "", "/var/lib/ledger.db"] in entry.changes
    assert ["to", "", str(to)] in entry.changes


def test_a_folder_is_copied_without_what_leads_elsewhere(snapshot: RunSnapshot, to: Path) -> None:
    done = fetching.fetch(snapshot, "var", to, by="alice")

    assert inside(to) == ["var", "var/lib", "var/lib/ledger.db", "var/lib/tool"]
    assert (done.files, done.left_out) == (2, 2)
    mode = (to / "var/lib/tool").stat().st_mode
    assert stat.S_IMODE(mode) == 0o755


def test_everything_is_copied_with_the_names_that_it_has(snapshot: RunSnapshot, to: Path) -> None:
    fetching.fetch(snapshot, "/", to, by="alice")

    assert {os.fsencode(each.name) for each in to.iterdir()} == {b"etc", b"var", HTML, NOT_UTF_8}


def test_what_is_open_already_stays_open(snapshot: RunSnapshot, to: Path) -> None:
    row = open_now(snapshot)

    fetching.fetch(snapshot, "etc/passwd", to, by="alice")

    row.refresh_from_db()
    assert row.state == State.OPEN


def test_nothing_is_overwritten(snapshot: RunSnapshot, to: Path) -> None:
    (to / "passwd").write_text("mine")

    with pytest.raises(RefusedError, match="nothing is overwritten"):
        fetching.fetch(snapshot, "etc/passwd", to, by="alice")

    assert (to / "passwd").read_text() == "mine"
    assert OpenedSnapshot.objects.get().state == State.CLOSED


def test_nothing_is_written_through_a_link(snapshot: RunSnapshot, to: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (to / "etc").symlink_to(other)

    with pytest.raises(RefusedError, match="nothing is overwritten"):
        fetching.fetch(snapshot, "etc", to, by="alice")

    assert inside(other) == []


@pytest.mark.parametrize("what", ["missing", "a file", "a link", "for all", "somebody's"])
def test_only_a_folder_of_the_callers_own_takes_files(
    snapshot: RunSnapshot, to: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    place = to / "place"
    if what == "a file":
        place.write_text("")
    elif what == "a link":
        place.symlink_to(to)
    elif what != "missing":
        place.mkdir()
        place.chmod(0o777 if what == "for all" else 0o700)
    if what == "somebody's":
        monkeypatch.setattr(os, "geteuid", lambda: 4242)

    with pytest.raises(RefusedError):
        fetching.fetch(snapshot, "etc/passwd", place, by="alice")

    assert not OpenedSnapshot.objects.exists()


@pytest.mark.parametrize("path", ["../etc/passwd", "etc/../../x", "no/such", "up/etc/passwd"])
def test_a_path_that_leads_nowhere_is_refused(snapshot: RunSnapshot, to: Path, path: str) -> None:
    with pytest.raises(RefusedError):
        fetching.fetch(snapshot, path, to, by="alice")

    assert inside(to) == []


def test_a_snapshot_that_cannot_be_opened_says_why(
    snapshot: RunSnapshot, images: FolderImages, to: Path
) -> None:
    images.fails[snapshot.snapshot_id] = ImageDamagedError("It has no file system that is known.")

    with pytest.raises(RefusedError, match="no file system that is known"):
        fetching.fetch(snapshot, "etc/passwd", to, by="alice")

    assert inside(to) == []


def test_a_file_that_cannot_be_read_is_left_out_and_told(
    snapshot: RunSnapshot, to: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = open_now(snapshot)
    tree = using.tree(row)
    read = tree.read

    def broken(path: bytes, most: int = -1) -> object:
        return iter([b"half"]) if path.endswith(b"ledger.db") else read(path, most)

    monkeypatch.setattr(tree, "read", broken)

    done = fetching.fetch(snapshot, "var/lib", to, by="alice")

    assert inside(to) == ["lib", "lib/tool"]
    assert "/var/lib/ledger.db could not be read" in done.problem
    assert done.left_out == 3


def test_too_many_files_are_refused(
    snapshot: RunSnapshot, to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "MOST_FILES", 2)

    with pytest.raises(RefusedError, match="more than 2 files"):
        fetching.fetch(snapshot, "/", to, by="alice")
