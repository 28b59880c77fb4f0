import re

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import Account, Policy
from policies.services.entry import accounts as enrolling
from scripts_admin import permissions
from scripts_admin.models import User
from tests.policies.views.admin_forms import errors, url

pytestmark = pytest.mark.django_db
ADD = "/admin/policies/account/add/"
ROLE = "arn:aws:iam::123456789012:role/backup"
FORM = {"name": "theirs", "auth": "role", "role_arn": ROLE, "region": "us-east-1"}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made)
    return made


def probe(client: Client, *accounts: Account) -> list[str]:
    """Select the accounts in the list and test them; return the messages on the page."""
    form = {"action": "test_accounts", "_selected_action": [a.pk for a in accounts]}
    response = client.post("/admin/policies/account/", form, follow=True)
    return [str(message) for message in response.context["messages"]]


def test_a_role_shows_its_external_id_and_takes_no_other(client: Client, boss: User) -> None:
    client.post(ADD, FORM | {"owner": boss.pk, "external_id": "mine"})

    account = Account.objects.get()
    assert account.external_id not in {"", "mine"}
    page = client.get(url(account)).content.decode()
    assert account.external_id in page
    assert not re.search(r'name="external_id"', page)
    client.post(url(account), FORM | {"external_id": "mine", "region": "us-west-2"})
    kept = Account.objects.get()
    assert (kept.external_id, kept.region) == (account.external_id, "us-west-2")


def test_what_is_no_role_is_told_at_the_field(client: Client, boss: User) -> None:
    response = client.post(ADD, FORM | {"owner": boss.pk, "role_arn": "backup"})

    assert errors(response.content)[0].startswith("&#x27;backup&#x27; is not the ARN of a role")
    assert not Account.objects.exists()


def test_a_role_that_becomes_keys_needs_a_secret(client: Client, boss: User) -> None:
    account = Account(owner=boss, name="theirs", auth="role", role_arn=ROLE)
    enrolling.save(account)
    form = {"name": "theirs", "auth": "keys", "access_key_id": "A", "region": "us-east-1"}

    response = client.post(url(account), form)

    assert errors(response.content) == ["Access keys need a secret access key: enter it."]
    assert Account.objects.get().auth == "role"


def test_the_servers_own_role_is_for_whom_a_superuser_gave_the_permission(
    client: Client, bob: User
) -> None:
    form = {"owner": bob.pk, "name": "own", "auth": "instance", "region": "us-east-1"}

    told = errors(client.post(ADD, form).content)
    assert "bob is not allowed to use the server&#x27;s own role" in told[0]
    assert not Account.objects.exists()
    group = Group.objects.create(name="operators")
    group.permissions.add(Permission.objects.get(codename="use_server_role"))
    bob.groups.add(group)
    client.post(ADD, form)

    assert Account.objects.get().auth == "instance"


def test_a_superuser_gives_the_permission_on_the_users_page(
    client: Client, boss: User, alice: User
) -> None:
    permission = Permission.objects.get(codename="use_server_role")
    form = {
        "is_active": "on",
        "user_permissions": [permission.pk],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
    }

    client.post(url(alice), form)

    assert permissions.has_server_role(alice)


def test_a_tested_account_says_what_is_missing(
    client: Client, boss: User, policy: Policy, cloud: MemoryCloud
) -> None:
    policy.targets.all().delete()
    assert (
        "alice/lab: no permission is missing, AWS sees arn:aws:iam::123456789012:user/backup."
        in probe(client, policy.account)
    )

    cloud.denied = {"DescribeVolumes"}
    said = probe(client, policy.account)

    assert any("alice/lab: " in s and "permission ec2:DescribeVolumes" in s for s in said)
    assert not any("no permission is missing" in sentence for sentence in said)


def test_staff_tests_no_account_of_somebody_else(
    client: Client, bob: User, policy: Policy, cloud: MemoryCloud
) -> None:
    said = probe(client, policy.account)

    assert not any("alice" in sentence for sentence in said)
    assert cloud.calls == []
