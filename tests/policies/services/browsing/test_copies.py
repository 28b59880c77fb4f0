"""A copy is opened as its source is: in its own region, with the account that holds it, and held meanwhile."""

from pathlib import Path

import pytest

from policies.adapters.folder_images import FolderImages
from policies.domain.browsing.states import State
from policies.domain.errors import RefusedError
from policies.models import Copy, Hold, OpenedSnapshot, Run, RunSnapshot
from policies.services.browsing import asking, fetching, opening
from scripts_admin.models import AuditEntry
from tests import factories
from tests.policies.services.browsing.opened import again, copy_of, open_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def copy(snapshot: RunSnapshot) -> Copy:
    return copy_of(snapshot)


def open_copy(copy: Copy) -> OpenedSnapshot:
    row = asking.ask(again(copy.source), by="alice", copy=copy)
    opening.work(row.pk)
    row.refresh_from_db()
    return row


def lose(copy: Copy) -> None:
    RunSnapshot.objects.filter(pk=copy.source_id).update(state="gone")
    Run.objects.filter(pk=copy.run_id).update(restore_point=False)


def test_a_copy_is_opened_although_its_source_is_gone(copy: Copy, images: FolderImages) -> None:
    lose(copy)

    row = open_copy(copy)

    assert (row.state, row.sentence) == (State.OPEN, "")
    (order,) = images.orders
    assert (order.snapshot_id, order.region) == (copy.snapshot_id, "eu-west-1")
    assert order.credentials.access_key_id == "AKIASECONDACCOUNT001"
    assert Hold.objects.filter(run=copy.run, released_at=None).count() == 1
    (change, *_) = AuditEntry.objects.latest("pk").changes
    assert change[2] == copy.snapshot_id
    opening.close(row, "over")
    assert not Hold.objects.filter(released_at=None).exists()


def test_a_snapshot_and_its_copy_are_open_beside_each_other(
    copy: Copy, snapshot: RunSnapshot
) -> None:
    own, other = open_now(snapshot), open_copy(copy)

    assert own != other
    assert asking.ask(again(snapshot), by="bob", copy=copy) == other
    assert asking.ask(again(snapshot), by="bob") == own


@pytest.mark.parametrize("state", ["pending", "deleting", "failed"])
def test_only_a_completed_copy_is_opened(copy: Copy, state: str) -> None:
    copy.state = state

    with pytest.raises(RefusedError, match=f"is {state}"):
        asking.ask(again(copy.source), by="alice", copy=copy)

    assert not OpenedSnapshot.objects.exists()


def test_a_copy_that_goes_meanwhile_is_not_opened(copy: Copy, images: FolderImages) -> None:
    row = asking.ask(again(copy.source), by="alice", copy=copy)
    Copy.objects.update(state="deleting")

    opening.work(row.pk)

    row.refresh_from_db()
    assert row.state == State.FAILED
    assert images.orders == []
    assert not Hold.objects.filter(released_at=None).exists()


def test_an_account_that_became_somebody_elses_opens_nothing(copy: Copy) -> None:
    assert copy.account is not None
    copy.account.owner = factories.charlie()
    copy.account.save()

    with pytest.raises(RefusedError, match="account"):
        asking.ask(again(copy.source), by="alice", copy=copy)

    assert not OpenedSnapshot.objects.exists()


def test_files_are_fetched_from_a_copy(copy: Copy, images: FolderImages, tmp_path: Path) -> None:
    lose(copy)
    to = tmp_path / "to"
    to.mkdir(mode=0o700)

    done = fetching.fetch(again(copy.source), "etc/passwd", to, by="alice", copy=copy)

    assert done.files == 1
    assert (to / "passwd").read_text().startswith("root:")
    assert images.orders[0].snapshot_id == copy.snapshot_id
