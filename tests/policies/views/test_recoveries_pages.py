"""The pages of recoveries: the form, what it shows before the click, the page that follows, and who sees them."""

import uuid

import pytest
from django.test import Client

from policies.domain.recovery.states import Kind, State
from policies.models import Recovery
from policies.ports.making import Initialization
from policies.services.recovery import asking, working
from policies.services.recovery.planning import Choices
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import AuditEntry, User
from tests import factories
from tests.policies.services.recovery.restored import Restored, hurry, make
from tests.policies.views import logins
from tests.policies.views.page import check_can_be_read_aloud, client_of, read

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"
BAD_TEXT = '"><svg onload=alert(1)>'


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Restored:
    return make(monkeypatch)


@pytest.fixture
def hers(restored: Restored) -> Client:
    return logins.confirm(client_of(User.objects.get(username="alice")))


def address(restored: Restored) -> str:
    return f"/runs/{restored.run.pk}/restore/"


def test_a_volume_is_restored_by_the_form_after_it_showed_what_will_be_done(
    restored: Restored, hers: Client
) -> None:
    assert address(restored) in read(hers, f"/runs/{restored.run.pk}/").links
    asked = {"kind": "volume", "volume_id": restored.data}

    shown = hers.post(address(restored), {**asked, "do": "look"}).content.decode()
    assert f"Create a volume (gp3) from {restored.snapshot_of(restored.data)}" in shown
    assert "AWS permits it." in shown
    assert not Recovery.objects.exists()
    answer = hers.post(address(restored), {**asked, "do": "restore"})

    recovery = Recovery.objects.get()
    assert answer["Location"] == f"/recoveries/{recovery.pk}/"
    entry = AuditEntry.objects.get(action="restored")
    assert (entry.name, recovery.requested_by) == ("alice", "alice")
    page = read(hers, f"/recoveries/{recovery.pk}/")
    check_can_be_read_aloud(page)
    assert page.polled == [f"/recoveries/{recovery.pk}/"]
    check_can_be_read_aloud(read(hers, "/recoveries/"))


def test_what_was_typed_outlives_the_session_and_nothing_is_restored_by_it(
    restored: Restored, hers: Client, client: Client
) -> None:
    alice = User.objects.get(username="alice")
    alice.set_password(GOOD)
    alice.save()
    hers.force_login(alice)
    form = logins.confirm(hers).get(address(restored)).content.decode()
    form_of = form.partition('name="form_of" value="')[2].partition('"')[0]
    typed = {"kind": "volume", "volume_id": restored.data, "zone": "us-east-1f", "do": "restore"}

    answer = client.post(address(restored), {**typed, "form_of": form_of})
    back = client.post(answer["Location"], {"username": "alice", "password": GOOD})

    assert "us-east-1f" in client.get(back["Location"]).content.decode()
    assert not Recovery.objects.exists()


def test_what_exists_is_changed_only_when_its_id_was_typed(
    restored: Restored, hers: Client
) -> None:
    own = restored.instance.instance_id
    asked = {"kind": "volume_in_place", "volume_id": restored.data, "stops": "on", "do": "restore"}

    refused = hers.post(address(restored), asked).content.decode()
    assert "confirm it with the id" in refused
    assert f"Type its id, {own}, to confirm" in refused
    assert not Recovery.objects.exists()
    hers.post(address(restored), {**asked, "confirmation": own})

    assert Recovery.objects.get().kind == Kind.VOLUME_IN_PLACE


def test_the_difference_between_the_backup_and_today_is_shown_before_the_click(
    restored: Restored, hers: Client
) -> None:
    restored.memory.retag(restored.instance.instance_id, {"Name": BAD_TEXT})

    shown = hers.post(address(restored), {"kind": "instance", "do": "look"}).content.decode()

    assert "How the backup differs from today" in shown
    assert "&lt;svg onload" in shown
    assert BAD_TEXT not in shown
    restored.memory.terminate(restored.instance.instance_id)
    shown = hers.post(address(restored), {"kind": "instance", "do": "look"}).content.decode()
    assert "no longer exists" in shown


def test_the_page_says_when_it_is_at_full_speed_and_is_not_done_before(
    restored: Restored, hers: Client
) -> None:
    restored.memory.usual_progress = Initialization(40, 7200)
    recovery = restored.ask(Kind.VOLUME, volume_id=restored.data)
    restored.work(recovery, lambda row: row.state == State.INITIALIZING)

    page = hers.get(f"/recoveries/{recovery.pk}/").content.decode()

    assert "It can be used." in page
    assert "At full speed by" in page
    assert "40 %" in page
    assert "Done" not in page
    restored.memory.usual_progress = Initialization(100)
    hurry(recovery)
    working.execute(recovery.pk)
    assert "at full speed" in hers.get(f"/recoveries/{recovery.pk}/").content.decode()


def test_a_recovery_is_cancelled_and_undone_from_its_page(restored: Restored, hers: Client) -> None:
    first = restored.ask(Kind.VOLUME, volume_id=restored.data)
    hers.post(f"/recoveries/{first.pk}/cancel/")
    first.refresh_from_db()
    assert first.state == State.CANCELLED
    second = restored.work(restored.ask(Kind.VOLUME, volume_id=restored.data))

    refused = hers.post(f"/recoveries/{second.pk}/undo/", {"confirmation": "yes"})
    assert "confirm it with the id" in refused.content.decode()
    second.refresh_from_db()
    assert second.state == State.DONE
    hers.post(f"/recoveries/{second.pk}/undo/", {"confirmation": str(second.pk)})

    restored.work(second)
    assert second.state == State.UNDONE


def test_who_has_not_just_shown_who_they_are_is_asked_and_nothing_is_done(
    restored: Restored,
) -> None:
    client = client_of(User.objects.get(username="alice"))
    asked = {"kind": "volume", "volume_id": restored.data, "do": "restore"}

    answer = client.post(address(restored), asked)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/profile/confirm/")
    assert not Recovery.objects.exists()


def test_to_a_stranger_no_page_exists_and_who_only_sees_the_policy_restores_nothing(
    restored: Restored,
) -> None:
    recovery = restored.work(restored.ask(Kind.VOLUME, volume_id=restored.data))
    stranger = logins.confirm(client_of(factories.charlie()))
    pages = [
        address(restored),
        *(f"/recoveries/{recovery.pk}/{rest}" for rest in ("", "cancel/", "undo/")),
    ]
    for page in pages:
        assert stranger.get(page).status_code == 404
        sent = stranger.post(page, {"kind": "volume", "do": "restore"})
        assert sent.status_code == (405 if page.endswith(f"{recovery.pk}/") else 404)
    assert str(recovery.pk) not in stranger.get("/recoveries/").content.decode()
    assert stranger.get(f"/recoveries/{uuid.uuid4()}/").status_code == 404

    assert restored.run.policy is not None
    permissions.grant(factories.charlie(), restored.run.policy, [Right.VIEW, Right.EDIT, Right.RUN])
    viewer = logins.confirm(client_of(User.objects.get(username="charlie")))
    assert viewer.get(f"/recoveries/{recovery.pk}/").status_code == 200
    assert (
        f"/recoveries/{recovery.pk}/undo/" not in read(viewer, f"/recoveries/{recovery.pk}/").links
    )
    assert address(restored) not in read(viewer, f"/runs/{restored.run.pk}/").links
    for page in (address(restored), f"/recoveries/{recovery.pk}/undo/"):
        assert viewer.post(page, {"kind": "volume", "do": "restore"}).status_code == 404
    recovery.refresh_from_db()
    assert (recovery.state, Recovery.objects.count()) == (State.DONE, 1)

    permissions.grant(factories.charlie(), restored.run.policy, [Right.RESTORE])
    helper = logins.confirm(client_of(User.objects.get(username="charlie")))
    asked = {"kind": "volume", "volume_id": restored.data, "do": "restore"}
    assert helper.post(address(restored), asked).status_code == 302
    assert Recovery.objects.count() == 2


def test_a_run_without_snapshots_says_so(restored: Restored, hers: Client) -> None:
    restored.run.targets.all().delete()

    assert "nothing to restore from" in hers.get(address(restored)).content.decode()


def test_an_empty_list_says_what_to_do(restored: Restored, hers: Client) -> None:
    assert "Nothing was restored yet" in read(hers, "/recoveries/").text
    asking.ask(restored.run, Choices(Kind.VOLUME, volume_id=restored.data), by="alice")
    assert restored.data in read(hers, "/recoveries/").text
