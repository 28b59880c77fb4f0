"""A real file system in a simulated AWS, opened by the product: seen, taken, and nothing left when it is killed."""

import io
import os
import signal
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from policies.domain.browsing.states import State
from policies.domain.errors import RefusedError
from policies.models import Account, OpenedSnapshot, RunSnapshot
from policies.services.browsing import fetching, opening, reaching, using
from tests.ground import image_parts
from tests.ground import images as ground
from tests.ground.images import Ground
from tests.ground.processes import wait_until
from tests.policies.services.browsing import opened
from tests.policies.services.browsing.opened import HTML, NOT_UTF_8, open_now

pytestmark = [pytest.mark.real, pytest.mark.django_db]


def fill(top: Path) -> None:
    opened.lay(top)
    many = top / "many"
    many.mkdir()
    for number in range(500):
        (many / f"{number:05}").write_bytes(b"x")


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ground, str]]:
    folder = tmp_path_factory.mktemp("files")
    with ground.ground(folder) as found:
        yield found, found.snapshot(ground.disk(folder, request.param, fill))


@pytest.fixture
def snapshot(
    db: None, place: tuple[Ground, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunSnapshot]:
    found, snapshot_id = place
    monkeypatch.setattr(reaching, "images", lambda: found.images)
    made = opened.snapshot(snapshot_id=snapshot_id)
    Account.objects.update(access_key_id=ground.KEY, secret_access_key=ground.SECRET)
    yield opened.again(made)
    for row in OpenedSnapshot.objects.filter(ended_at=None):
        opening.close(row, "The test is over.")


def test_files_are_seen_and_taken_as_they_are(snapshot: RunSnapshot, tmp_path: Path) -> None:
    row = open_now(snapshot)

    assert (row.state, row.sentence) == (State.OPEN, "")
    assert 0 < row.blocks_read < row.about["blocks_of_snapshot"]
    names = {each.name for each in using.folder(row, b"").entries}
    assert names >= {b"etc", b"var", b"up", HTML, NOT_UTF_8}
    first = using.folder(row, b"many")
    assert (len(first.entries), first.more) == (using.ON_A_PAGE, True)
    second = using.folder(row, b"many", first.entries[-1].name)
    assert second.entries[0].name == b"%05d" % using.ON_A_PAGE
    (hit,) = using.search(row, "LEDGER", b"").entries
    assert hit.path == b"var/lib/ledger.db"
    found = using.download(row, hit.path)
    assert (found.size, b"".join(found.pieces)) == (10_000, b"0123456789" * 1000)
    whole = zipfile.ZipFile(io.BytesIO(b"".join(using.as_zip(row, b"var").pieces)))
    assert whole.testzip() is None
    for one in whole.infolist():
        assert one.external_attr >> 16 & 0o7000 == 0
        assert not one.filename.startswith("/")
    into = tmp_path / "mine"
    into.mkdir(mode=0o700)
    assert fetching.fetch(snapshot, "/", into, by="alice").files == 500 + 5
    assert (into / "var/lib/tool").stat().st_mode & 0o7777 == 0o755
    assert not (into / "up").is_symlink()


def test_nothing_is_left_when_its_processes_are_killed(snapshot: RunSnapshot) -> None:
    row = open_now(snapshot)
    key = str(row.pk)
    for line in image_parts.leftovers(key):
        kind, _, number = line.partition(" ")
        if kind == "process":
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
    wait_until(lambda: image_parts.leftovers(key) == [], seconds=20, what="nothing is left")

    with pytest.raises(RefusedError, match="open it once more"):
        using.folder(row, b"")

    row.refresh_from_db()
    assert row.state == State.FAILED
    assert open_now(snapshot).state == State.OPEN
