"""The pages of people: what superusers do there, and what everybody else finds."""

import logging
import re

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from policies.models import Account, Policy
from policies.services.entry import policies
from scripts_admin import permissions
from scripts_admin.models import AuditEntry, User
from scripts_admin.services import users
from tests.policies.views import logins
from tests.policies.views.page import check_can_be_read_aloud, client_of, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
GOOD = "correct horse battery"
BAD_TEXT = '"><svg onload=alert(1)>'


@pytest.fixture
def sure(boss: User) -> Client:
    """Return the client of the superuser, who has just confirmed who they are."""
    return logins.confirm(client_of(boss))


def test_the_list_says_who_may_what(sure: Client, alice: User) -> None:
    alice.groups.add(Group.objects.create(name="operators"))
    logins.add_app(alice)

    page = read(sure, "/people/")

    assert "may do everything, also with what others own" in page.text
    assert "has the rights of operators" in page.text
    assert "/people/alice/" in page.links
    assert "/admin/auth/group/" in page.links
    check_can_be_read_aloud(page)


def test_an_invitation_is_shown_once_and_works(sure: Client) -> None:
    answer = sure.post("/people/invite/", {"username": "zoe", "is_staff": "on"})

    link = re.search(r"/invited/[^<\s]+", answer.content.decode())
    assert link is not None
    assert link[0] not in sure.get("/people/zoe/").content.decode()
    hers = Client()
    hers.post(link[0], {"new_password1": GOOD, "new_password2": GOOD})
    assert hers.get("/admin/").status_code == 200
    assert "no password yet" not in sure.get("/people/").content.decode()


@pytest.mark.parametrize("name", ["Zoe", "root", "invite", "alice", BAD_TEXT])
def test_a_name_that_cannot_be_is_refused(sure: Client, alice: User, name: str) -> None:
    answer = sure.post("/people/invite/", {"username": name})

    assert "Nothing was saved" in answer.content.decode()
    assert BAD_TEXT not in answer.content.decode()
    assert User.objects.count() == 2


def test_deactivating_ends_sessions_and_says_what_goes_on(sure: Client, alice: User) -> None:
    keys = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "x" * 40}
    lab = Account.objects.create(owner=alice, name="lab", **keys)
    policies.save(Policy(owner=alice, account=lab, name="nightly"))
    hers = client_of(alice)
    assert "nightly" in read(sure, "/people/alice/").text

    answer = sure.post("/people/alice/deactivate/", follow=True)

    said = answer.content.decode()
    assert "Policies of theirs that still start by themselves: 1, without their scripts." in said
    assert "AWS role" not in said
    assert hers.get("/runs/").status_code == 302
    assert Policy.objects.get().enabled
    sure.post("/people/alice/reactivate/")
    assert User.objects.get(username="alice").is_active
    assert hers.get("/runs/").status_code == 302


def test_deactivating_says_what_fails(sure: Client, alice: User) -> None:
    permissions.set_server_role(alice, given=True)
    lab = Account.objects.create(owner=alice, name="lab", auth=Account.Auth.INSTANCE)
    policies.save(Policy(owner=alice, account=lab, name="nightly"))

    answer = sure.post("/people/alice/deactivate/", follow=True)

    said = answer.content.decode()
    assert "Of these with the server&#x27;s own AWS role, so that they fail: 1." in said
    assert "their runs fail while alice is deactivated" in said


def test_rights_are_given_and_taken(
    sure: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sure.post("/people/alice/rights/", {"superuser": "on"})
    assert User.objects.get(username="alice").is_superuser
    sure.post("/people/alice/rights/", {})

    assert not User.objects.get(username="alice").is_superuser
    assert "boss set the rights of alice: staff False, superuser True" in caplog.text


@pytest.mark.parametrize(("deed", "form"), [("rights", {}), ("deactivate", {})])
def test_nobody_locks_themselves_out(sure: Client, deed: str, form: dict[str, str]) -> None:
    answer = sure.post(f"/people/boss/{deed}/", form, follow=True)

    assert "ask another superuser" in answer.content.decode()
    assert User.objects.get(username="boss", is_active=True).is_superuser


def test_a_lost_second_factor_is_reset_with_a_log_line(
    sure: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    logins.add_app(alice)
    hers = client_of(alice)

    answer = sure.post("/people/alice/reset-second-factor/", follow=True)

    assert "has no second factor any more" in answer.content.decode()
    assert "boss reset the second factor of alice" in caplog.text
    assert hers.get("/runs/").status_code == 302
    alice.set_password(GOOD)
    users.save(alice)
    assert Client().post("/login/", {"username": "alice", "password": GOOD})["Location"] == "/"


def test_a_link_for_a_password_ends_the_old_one(sure: Client, alice: User) -> None:
    alice.set_password(GOOD)
    users.save(alice)

    answer = sure.post("/people/alice/link/")

    assert "/invited/" in answer.content.decode()
    assert not User.objects.get(username="alice").check_password(GOOD)


@pytest.mark.parametrize(
    "deed", ["link", "deactivate", "reactivate", "rights", "reset-second-factor", "end-sessions"]
)
def test_each_deed_wants_a_confirmation_first(boss: User, alice: User, deed: str) -> None:
    client = client_of(boss)
    boss.set_password(GOOD)
    users.save(boss)
    client.force_login(boss)

    answer = client.post(f"/people/alice/{deed}/", {"superuser": "on"})

    assert answer["Location"] == "/profile/confirm/?next=%2Fpeople%2Falice%2F"
    assert "Nothing was done" in client.get("/profile/confirm/").content.decode()
    alice.refresh_from_db()
    assert alice.is_active
    assert not alice.is_superuser
    back = client.post("/profile/confirm/?next=/people/alice/", {"password": GOOD})
    assert back["Location"] == "/people/alice/"
    assert client.post(f"/people/alice/{deed}/").status_code in {200, 302}


@pytest.mark.parametrize("page", ["change", "password"])
def test_the_admin_wants_the_same_confirmation(boss: User, alice: User, page: str) -> None:
    boss.set_password(GOOD)
    users.save(boss)
    client = client_of(boss)
    path = f"/admin/scripts_admin/user/{alice.pk}/{page}/"

    for answer in (client.get(path), client.post(path, {"is_superuser": "on"})):
        assert answer["Location"].startswith("/profile/confirm/?next=")
    assert not User.objects.filter(username="alice", is_superuser=True).exists()


def test_the_audit_has_who_did_it(sure: Client, boss: User, alice: User) -> None:
    logins.add_app(alice)
    sure.post("/people/invite/", {"username": "zoe"})
    for deed in ("reset-second-factor", "end-sessions", "deactivate"):
        sure.post(f"/people/alice/{deed}/")

    entered = AuditEntry.objects.filter(person=boss).values_list("action", flat=True)
    assert set(entered) == {"changed", "created", "invited", "removed"}


def test_free_text_is_shown_as_it_is(sure: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(first_name=BAD_TEXT, last_name=BAD_TEXT)

    for path in ("/people/", "/people/alice/"):
        assert "<svg onload" not in sure.get(path).content.decode()
