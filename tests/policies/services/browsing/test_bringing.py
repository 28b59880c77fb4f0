"""Files are copied to an instance over a real sshd: into a new folder, and with the gates of a run."""

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from n2wbackup.lib import clock
from policies.adapters.folder_images import FolderImages
from policies.domain.browsing.states import Bringing, State
from policies.domain.errors import NoSuchPathError, RefusedError
from policies.models import BroughtFiles, OpenedSnapshot, RunSnapshot
from policies.services.browsing import bringing, opening
from scripts_admin import permissions
from scripts_admin.models import AuditEntry, HostState, SshHost
from scripts_admin.runners import bringing as there
from scripts_admin.runners import ssh
from tests import factories
from tests.policies.services.backup import Backup
from tests.policies.services.browsing.opened import NOT_UTF_8, open_now
from tests.policies.services.distance import reached, server

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server"]


@pytest.fixture
def row(reached: Backup, images: FolderImages) -> OpenedSnapshot:
    run = factories.RunFactory.create(
        policy=reached.policy, state="succeeded", ended_at=clock.now(), restore_point=True
    )
    permissions.let_open_snapshots(reached.policy.owner)
    target = factories.RunTargetFactory.create(run=run)
    state = RunSnapshot.State.COMPLETED
    return open_now(factories.RunSnapshotFactory.create(target=target, state=state))


@pytest.fixture
def above(tmp_path: Path) -> Path:
    made = tmp_path / "home of app"
    made.mkdir()
    return made


def asked(row: OpenedSnapshot, above: Path | str, *wanted: bytes) -> BroughtFiles:
    (place,) = bringing.places(row)
    return bringing.ask(row, wanted or (b"var",), place, str(above), by="alice")


def brought(row: OpenedSnapshot, above: Path | str, *wanted: bytes) -> BroughtFiles:
    made = asked(row, above, *wanted)
    bringing.work(made.pk)
    made.refresh_from_db()
    return made


def test_a_folder_is_copied_into_a_new_one(row: OpenedSnapshot, above: Path) -> None:
    (above / "var").mkdir()

    made = brought(row, above)

    assert (made.state, made.sentence) == (Bringing.DONE, "")
    (new,) = [each for each in above.iterdir() if each.name != "var"]
    assert str(new) == made.folder
    assert new.name.startswith("n2w-restored-")
    assert stat.S_IMODE(new.stat().st_mode) == 0o700
    assert (new / "var/lib/ledger.db").read_bytes() == b"0123456789" * 1000
    assert stat.S_IMODE((new / "var/lib/tool").stat().st_mode) == 0o755
    assert sorted(each.name for each in (new / "var/lib").iterdir()) == ["ledger.db", "tool"]
    assert (made.files, made.bytes, made.left_out) == (2, 10_010, 2)
    assert list((above / "var").iterdir()) == []
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, ["path", "", "/var"] in entry.changes) == ("copied files back", True)


def test_names_that_are_no_text_come_through(row: OpenedSnapshot, above: Path) -> None:
    made = brought(row, above, NOT_UTF_8)

    path = os.fsencode(made.folder) + b"/" + NOT_UTF_8
    assert Path(os.fsdecode(path)).read_bytes() == b"hostile"


def test_the_same_second_makes_another_folder(row: OpenedSnapshot, above: Path) -> None:
    first = brought(row, above, b"etc/passwd")
    again = asked(row, above, b"etc/passwd")
    BroughtFiles.objects.filter(pk=again.pk).update(asked_at=first.asked_at)
    bringing.work(again.pk)
    again.refresh_from_db()

    assert again.folder == f"{first.folder}-2"


@pytest.mark.parametrize("where", ["nowhere", "a file"])
def test_a_folder_that_is_not_there_is_told(row: OpenedSnapshot, above: Path, where: str) -> None:
    (above / "a file").write_text("mine")

    made = brought(row, above / where)

    assert made.state == Bringing.FAILED
    assert "name one that is there" in made.sentence
    assert sorted(each.name for each in above.iterdir()) == ["a file"]


@pytest.mark.parametrize("where", ["home", "/home/../etc", "/a\nb", "/" + "x" * 1100, ""])
def test_no_other_text_names_a_folder(row: OpenedSnapshot, where: str) -> None:
    with pytest.raises(RefusedError):
        asked(row, where)

    assert not BroughtFiles.objects.exists()


def test_a_path_that_is_not_there_is_refused(row: OpenedSnapshot, above: Path) -> None:
    with pytest.raises(NoSuchPathError):
        asked(row, above, b"no/such")

    assert not BroughtFiles.objects.exists()


def test_it_takes_the_same_gates_as_a_run(row: OpenedSnapshot, above: Path) -> None:
    SshHost.objects.update(key="", state=HostState.SEEN)

    made = brought(row, above)

    assert made.state == Bringing.FAILED
    assert "Nobody has approved the host key" in made.sentence
    assert list(above.iterdir()) == []


def test_one_copy_of_a_snapshot_at_a_time(row: OpenedSnapshot, above: Path) -> None:
    asked(row, above)

    with pytest.raises(RefusedError, match="being copied already"):
        asked(row, above)

    assert BroughtFiles.objects.count() == 1


def test_a_copy_whose_worker_died_is_not_begun_again(row: OpenedSnapshot, above: Path) -> None:
    made = asked(row, above)
    long_ago = clock.now() - timedelta(hours=1)
    BroughtFiles.objects.update(state=Bringing.COPYING, next_at=long_ago, folder="/somewhere")

    bringing.work(made.pk)

    made.refresh_from_db()
    assert made.state == Bringing.FAILED
    assert "has ended" in made.sentence
    assert list(above.iterdir()) == []


def test_a_snapshot_that_is_closed_ends_the_copy(
    row: OpenedSnapshot, above: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "_RENEWED_EVERY", timedelta(0))
    real = there.Folder

    def closed(session: ssh.Session, above: str, name: str) -> there.Folder:
        made = real(session, above, name)
        opening.end(row, State.CLOSED, "alice closed it.")
        return made

    monkeypatch.setattr(there, "Folder", closed)

    made = brought(row, above)

    assert made.state == Bringing.FAILED
    assert "closed before everything was copied" in made.sentence


def test_what_takes_no_files_says_so(
    row: OpenedSnapshot, above: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = row.run.policy.targets.get()  # type: ignore[union-attr]
    monkeypatch.setattr(there, "_AS_ROOT", "exit 127")
    target.remote_sudo = True
    target.save()

    made = brought(row, above)

    assert made.state == Bringing.FAILED
    assert "does not take files over SFTP" in made.sentence
    assert list(above.iterdir()) == []
