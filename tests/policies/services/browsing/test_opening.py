"""A snapshot that somebody wants to see is opened once, looked after, and closed; nothing of it is left."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock, home
from policies.adapters import broker
from policies.adapters.folder_images import FolderImages
from policies.domain.browsing.states import State
from policies.domain.errors import ImageDamagedError, ImageError, RefusedError
from policies.domain.retention.points import HoldKind
from policies.models import Hold, OpenedSnapshot, Run, RunSnapshot, Server
from policies.ports.images import About
from policies.services.browsing import asking, opening, reaching, using
from policies.services.retention import holds
from scripts_admin.models import AuditEntry
from tests import factories
from tests.policies.services.browsing import opened
from tests.policies.services.browsing.opened import open_now
from tests.policies.services.elsewhere import Elsewhere

pytestmark = pytest.mark.django_db


def again(row: OpenedSnapshot) -> OpenedSnapshot:
    row.refresh_from_db()
    return row


def held(run: Run) -> bool:
    return Hold.objects.filter(run=run, kind=HoldKind.RECOVERY, released_at=None).exists()


def ago(**span: float) -> None:
    OpenedSnapshot.objects.update(last_used_at=clock.now() - timedelta(**span))


def test_an_opened_snapshot_holds_its_restore_point_until_it_is_closed(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = open_now(snapshot)

    assert (row.state, row.sentence) == (State.OPEN, "")
    assert row.about["file_system"] == "ext4"
    assert held(row.run)
    (order,) = images.orders
    assert (order.key, order.snapshot_id) == (str(row.pk), snapshot.snapshot_id)
    assert AuditEntry.objects.latest("pk").action == "opened files"

    assert opening.close(row, "alice closed it.")

    assert again(row).state == State.CLOSED
    assert images.keys() == ()
    assert not held(row.run)
    assert not opening.close(row, "twice")
    assert again(row).sentence == "alice closed it."


def test_who_asks_for_what_is_open_gets_the_same(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = open_now(snapshot)

    assert asking.ask(snapshot, by="bob") == row
    assert OpenedSnapshot.objects.count() == 1
    assert asking.ask(snapshot, by="bob", part=2) != row


@pytest.mark.parametrize("state", ["pending", "error", "gone", "missing"])
def test_only_a_completed_snapshot_is_opened(snapshot: RunSnapshot, state: str) -> None:
    snapshot.state = state

    with pytest.raises(RefusedError, match=f"is {state}"):
        asking.ask(snapshot, by="alice")

    assert not OpenedSnapshot.objects.exists()
    assert not AuditEntry.objects.filter(action="opened files").exists()


def test_a_snapshot_whose_account_is_deleted_is_not_opened(snapshot: RunSnapshot) -> None:
    snapshot.target.run.account = None

    with pytest.raises(RefusedError, match="account"):
        asking.ask(snapshot, by="alice")

    assert not OpenedSnapshot.objects.exists()


def test_the_kernel_reads_file_systems_only_of_whom_a_superuser_has_allowed(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    owner = snapshot.target.run.owner
    assert owner is not None
    row = asking.ask(snapshot, by="alice")
    owner.user_permissions.clear()

    with pytest.raises(RefusedError, match="Nobody has allowed that snapshots of alice are opened"):
        asking.ask(snapshot, by="alice")
    opening.work(row.pk)  # it was asked for before the permission was withdrawn

    assert again(row).state == State.FAILED
    assert images.orders == []
    owner.is_superuser = True
    owner.save()
    assert open_now(snapshot).state == State.OPEN


def test_a_restore_point_that_is_being_deleted_is_not_opened(
    snapshot: RunSnapshot, images: FolderImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RefusedError("Its snapshots are being deleted: choose another restore point.")

    monkeypatch.setattr(holds, "take", refuse)

    row = open_now(snapshot)

    assert (row.state, images.orders) == (State.FAILED, [])
    assert "being deleted" in row.sentence


def test_no_more_are_open_than_the_server_and_the_owner_may_have(
    snapshot: RunSnapshot, settings: Settings
) -> None:
    settings.N2W_OPENED_OF_OWNER, settings.N2W_OPENED_SNAPSHOTS = 1, 2
    row = open_now(snapshot)

    with pytest.raises(RefusedError, match="1 snapshots of alice are open"):
        asking.ask(opened.snapshot(), by="alice")
    asking.ask(opened.snapshot(factories.charlie()), by="charlie")
    with pytest.raises(RefusedError, match="2 snapshots are open"):
        asking.ask(opened.snapshot(factories.UserFactory.create(username="dora")), by="dora")

    assert OpenedSnapshot.objects.count() == 2
    opening.close(row, "over")
    assert asking.ask(opened.snapshot(), by="alice").state == State.ASKED


def test_what_is_wrong_with_a_snapshot_is_said_and_nothing_is_held(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    images.fails[snapshot.snapshot_id] = ImageDamagedError("It has no file system that is known.")

    row = open_now(snapshot)

    assert (row.state, row.sentence) == (State.FAILED, "It has no file system that is known.")
    assert row.ended_at is not None
    assert not held(row.run)


def test_an_error_that_nobody_foresaw_ends_it_too(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    images.fails[snapshot.snapshot_id] = ZeroDivisionError("a secret of the server")

    row = open_now(snapshot)

    assert row.state == State.FAILED
    assert "ZeroDivisionError" in row.sentence
    assert "secret" not in row.sentence


def test_what_nobody_uses_is_closed_after_its_minutes(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = open_now(snapshot)
    ago(minutes=14)
    opening.work(row.pk)
    assert again(row).state == State.OPEN

    ago(minutes=15)
    opening.work(row.pk)

    assert (again(row).state, row.sentence) == (State.CLOSED, "Nobody used it for 15 minutes.")
    assert images.keys() == ()


def test_who_looks_keeps_it_open(snapshot: RunSnapshot) -> None:
    row = open_now(snapshot)
    ago(minutes=14)

    using.folder(again(row), b"")

    assert clock.now() - again(row).last_used_at < timedelta(minutes=1)


def test_processes_that_were_killed_end_the_row(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = open_now(snapshot)
    images.again(str(row.pk)).close()

    opening.work(row.pk)

    assert again(row).state == State.FAILED
    assert "open it once more" in row.sentence
    assert not held(row.run)


def test_an_image_that_is_slow_is_not_taken_for_dead(
    snapshot: RunSnapshot, images: FolderImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = open_now(snapshot)

    def silent() -> About:
        raise ImageError("The image does not answer.")

    monkeypatch.setattr(images.again(str(row.pk)), "about", silent)

    opening.work(row.pk)

    assert again(row).state == State.OPEN


def test_whoever_meets_dead_processes_first_ends_the_row(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = open_now(snapshot)
    images.again(str(row.pk)).close()

    with pytest.raises(RefusedError, match="open it once more"):
        using.folder(row, b"")

    assert again(row).state == State.FAILED


def test_a_worker_that_died_while_it_opened_is_followed_by_another_and_some_day_by_none(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = asking.ask(snapshot, by="alice")
    OpenedSnapshot.objects.update(state=State.OPENING, tries=1)
    opening.work(row.pk)
    assert again(row).state == State.OPEN

    other = asking.ask(opened.snapshot(), by="alice")
    OpenedSnapshot.objects.filter(pk=other.pk).update(state=State.OPENING, tries=opening.TRIES)
    opening.work(other.pk)

    assert again(other).state == State.FAILED
    assert len(images.orders) == 1


def test_a_second_worker_does_nothing_while_one_opens_it(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = asking.ask(snapshot, by="alice")
    soon = clock.now() + timedelta(minutes=1)
    OpenedSnapshot.objects.update(state=State.OPENING, tries=1, next_at=soon)

    opening.work(row.pk)

    assert (again(row).state, images.orders) == (State.OPENING, [])


def test_who_closes_it_while_it_is_opened_leaves_nothing(
    snapshot: RunSnapshot, images: FolderImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = asking.ask(snapshot, by="alice")
    opened_by_aws = images.opened

    def closed_meanwhile(order: object) -> object:
        opening.close(row, "alice closed it.")
        return opened_by_aws(order)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "opened", closed_meanwhile)

    opening.work(row.pk)

    assert again(row).state == State.CLOSED
    assert images.keys() == ()
    assert not held(row.run)


def test_only_the_server_that_was_asked_opens_it(
    snapshot: RunSnapshot, images: FolderImages, elsewhere: Elsewhere
) -> None:
    row = asking.ask(snapshot, by="alice")

    with elsewhere.here():
        opening.work(row.pk)

    assert (again(row).state, images.orders) == (State.ASKED, [])


def test_a_tick_sends_each_server_to_what_it_has_to_do(
    snapshot: RunSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr(broker, "send", lambda *given: sent.append(given))
    open_one, asked = open_now(snapshot), asking.ask(opened.snapshot(), by="alice")
    fresh = asking.ask(opened.snapshot(), by="alice")
    OpenedSnapshot.objects.filter(pk=asked.pk).update(next_at=clock.now() - timedelta(minutes=1))

    assert opening.tick() == 2

    mine = home.server_id()
    assert set(sent) == {(broker.OPEN_SNAPSHOT, each.pk, mine) for each in (open_one, asked)}
    assert again(fresh).state == State.ASKED


def test_what_a_server_that_is_gone_had_open_is_ended_by_another(snapshot: RunSnapshot) -> None:
    row = open_now(snapshot)
    Server.objects.update(gone_at=clock.now())

    opening.tick()

    assert again(row).state == State.FAILED
    assert not held(row.run)


def test_what_a_killed_worker_had_opened_is_taken_over(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = asking.ask(snapshot, by="alice")
    images.opened(reaching.order(row))
    OpenedSnapshot.objects.update(state=State.OPENING, tries=1)

    opening.work(row.pk)

    assert again(row).state == State.OPEN
    assert len(images.orders) == 1


def test_what_is_open_although_its_row_has_ended_is_closed(
    snapshot: RunSnapshot, images: FolderImages
) -> None:
    row = open_now(snapshot)
    opening.end(row, State.CLOSED, "and the process was killed before it could close it")
    proof = images.opened(replace(images.orders[0], key=str(uuid4())))

    opening.tick()

    assert images.keys() == (proof.key,)
