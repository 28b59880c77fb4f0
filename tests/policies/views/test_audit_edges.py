"""What is done in pages, in the admin and by commands is in the audit, with who and from where."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client

from policies.models import Policy
from scripts_admin.models import AuditEntry, User
from scripts_admin.services import users
from tests import factories
from tests.policies.views import logins

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
OFFICE = "192.0.2.7"


@pytest.fixture
def boss() -> User:
    made = User(username="boss", is_superuser=True, is_staff=True)
    made.set_password(PASSWORD)
    users.save(made)
    AuditEntry.objects.all().delete()
    return made


@pytest.fixture
def client(boss: User) -> Client:
    made = Client(REMOTE_ADDR=OFFICE)
    made.force_login(boss)
    logins.confirm(made)
    return made


def entry(**columns: Any) -> AuditEntry:
    return AuditEntry.objects.get(**columns)


def test_a_login_is_told_with_its_address(boss: User) -> None:
    Client(REMOTE_ADDR=OFFICE).post("/login/", {"username": "boss", "password": PASSWORD})

    found = entry()
    assert (found.action, found.person, found.owner) == ("logged in", boss, boss)
    assert (found.source, found.address) == ("page", OFFICE)


def test_a_refused_login_is_told_to_the_user_and_names_nobody(boss: User) -> None:
    Client(REMOTE_ADDR=OFFICE).post("/login/", {"username": "boss", "password": "wrong"})

    found = entry()
    assert (found.action, found.label, found.owner) == ("login refused", "boss", boss)
    assert (found.name, found.person, found.address) == ("an unknown user", None, OFFICE)


@pytest.mark.usefixtures("boss")
def test_a_name_that_may_be_a_password_is_not_kept() -> None:
    Client().post("/login/", {"username": "hunter2hunter2", "password": "x"})

    assert "hunter2" not in str(AuditEntry.objects.values_list())
    assert entry().label == "an unknown user"


def test_the_brake_bounds_the_refused_logins(boss: User) -> None:
    for _ in range(60):
        Client(REMOTE_ADDR=OFFICE).post("/login/", {"username": "boss", "password": "wrong"})

    assert AuditEntry.objects.filter(owner=boss).count() < 10


def test_an_action_of_the_admin_is_told_as_the_admins(client: Client, boss: User) -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    AuditEntry.objects.all().delete()

    client.post(
        "/admin/policies/policy/", {"action": "disable", "_selected_action": [str(policy.pk)]}
    )

    found = entry()
    assert (found.action, found.label, found.person) == ("disabled", "alice/policy1", boss)
    assert (found.source, found.address, found.owner) == ("admin", OFFICE, policy.owner)


def test_rights_that_the_admin_gives_are_told(client: Client) -> None:
    carol = User(username="carol")
    users.save(carol)
    group = Group.objects.create(name="operators")
    right = Permission.objects.get(codename="use_server_role")
    AuditEntry.objects.all().delete()

    answer = client.post(
        f"/admin/scripts_admin/user/{carol.pk}/change/",
        {
            "is_active": "on",
            "is_staff": "on",
            "groups": [str(group.pk)],
            "user_permissions": [str(right.pk)],
        },
    )

    assert answer.status_code == 302
    changes = {
        c[0]: c[1:] for entry in AuditEntry.objects.filter(label="carol") for c in entry.changes
    }
    assert changes == {
        "staff": ["false", "true"],
        "groups": ["", "operators"],
        "rights": ["", "policies.use_server_role"],
    }


def test_another_password_is_told_and_not_shown(client: Client) -> None:
    carol = User(username="carol")
    users.save(carol)
    AuditEntry.objects.all().delete()

    client.post(
        f"/admin/scripts_admin/user/{carol.pk}/password/",
        {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD},
    )

    assert User.objects.get(username="carol").check_password(PASSWORD)
    assert entry(label="carol").changes == [["password", "", "(set)"]]


def test_a_group_of_the_admin_is_told(client: Client) -> None:
    client.post("/admin/auth/group/add/", {"name": "operators"})
    group = Group.objects.get()
    client.post(
        "/admin/auth/group/",
        {"action": "delete_selected", "_selected_action": [str(group.pk)], "post": "yes"},
    )

    assert [e.action for e in AuditEntry.objects.order_by("pk")] == ["created", "deleted"]


def test_a_command_is_told_with_the_linux_account(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    Policy.objects.filter(pk=policy.pk).update(may_be_frozen_since="2026-12-01T10:00:00Z")
    AuditEntry.objects.all().delete()
    monkeypatch.setenv("SUDO_USER", "anna")

    call_command("confirm_thaw", "alice/policy1")

    found = entry()
    assert (found.action, found.source, found.person) == ("confirmed thaw", "command", None)
    assert found.name.endswith(" (sudo: anna)")
