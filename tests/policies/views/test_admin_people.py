"""Users and groups in the admin: give permissions, lock people out, set new passwords."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from scripts_admin import permissions
from scripts_admin.models import User
from tests.policies.views import page
from tests.policies.views.admin_forms import url

pytestmark = pytest.mark.django_db
DATES = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00"}


def test_a_group_gives_the_servers_role_to_whoever_is_put_into_it(
    client: Client, boss: User, alice: User
) -> None:
    right = Permission.objects.get(codename="use_server_role")

    client.post("/admin/auth/group/add/", {"name": "operators", "permissions": [right.pk]})
    group = Group.objects.get()
    assert not permissions.may_use_server_role(alice)
    client.post(url(alice), DATES | {"is_active": "on", "groups": [group.pk]})
    assert permissions.may_use_server_role(alice)
    client.post(url(alice), DATES | {"is_active": "on"})

    assert not permissions.may_use_server_role(alice)


def test_who_is_made_inactive_is_out_at_once(client: Client, boss: User, alice: User) -> None:
    hers = page.client_of(alice)
    assert hers.get("/runs/").status_code == 200

    client.post(url(alice), DATES)

    assert not User.objects.get(username="alice").is_active
    assert hers.get("/runs/").status_code == 302


def test_a_password_that_is_set_anew_ends_the_sessions_of_the_old_one(
    client: Client, boss: User, alice: User
) -> None:
    hers = page.client_of(alice)
    form = {"usable_password": "true", "password1": "staple-battery", "password2": "staple-battery"}

    client.post(f"/admin/scripts_admin/user/{alice.pk}/password/", form)

    assert hers.get("/runs/").status_code == 302
    assert Client().login(username="alice", password="staple-battery")


def test_both_places_where_permissions_are_given_warn_of_the_servers_role(
    client: Client, boss: User, alice: User
) -> None:
    warning = "a user who has it can back up everything that this role reaches"

    assert warning in page.read(client, url(alice)).text
    assert warning in page.read(client, "/admin/auth/group/add/").text


@pytest.mark.parametrize("what", ["change", "password", "delete", "history"])
def test_staff_reaches_no_page_of_a_user(client: Client, bob: User, alice: User, what: str) -> None:
    before = list(User.objects.order_by("pk").values())
    form = {"password1": "staple-battery", "password2": "staple-battery", "post": "yes"}
    path = f"/admin/scripts_admin/user/{alice.pk}/{what}/"

    assert client.get(path).status_code == 403
    assert client.post(path, form).status_code in {403, 405}
    assert list(User.objects.order_by("pk").values()) == before
