"""The three people of the admin's tests: boss is a superuser, alice an owner, bob a stranger with staff status."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, Policy, PolicyTarget, Run
from policies.services.entry import policies
from scripts_admin.models import User
from tests.policies.views import admin_forms, logins


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: object) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path


@pytest.fixture
def boss(client: Client) -> User:
    """A superuser, logged in."""
    user = admin_forms.user("boss", is_staff=True, is_superuser=True)
    client.force_login(user)
    logins.confirm(client)
    return user


@pytest.fixture
def alice() -> User:
    return admin_forms.user("alice")


@pytest.fixture
def policy(alice: User) -> Policy:
    account = Account.objects.create(
        owner=alice, name="lab", access_key_id="AKIA", secret_access_key=admin_forms.SECRET
    )
    made = Policy(owner=alice, account=account, name="policy1")
    policies.save(made)
    target = PolicyTarget(
        instance_id=admin_forms.INSTANCE,
        region="us-east-1",
        exclude_volume_ids=[admin_forms.VOLUME],
    )
    policies.replace_targets(made, [target])
    return made


@pytest.fixture
def run(policy: Policy) -> Run:
    return Run.objects.create(
        policy=policy,
        owner=policy.owner,
        account=policy.account,
        policy_name=policy.name,
        owner_name=policy.owner.username,
        trigger=Trigger.MANUAL,
        state=State.FROZEN,
        created_at=clock.now(),
    )


@pytest.fixture
def bob(client: Client) -> User:
    """A staff user with every permission on accounts, schedules, policies, runs, users and groups, logged in.

    He has no permission for the server's own role, as that is not a permission on rows.
    """
    user = admin_forms.user("bob", is_staff=True)
    models = ["account", "schedule", "policy", "policytarget", "run", "user", "group", "folder"]
    rows = Permission.objects.filter(content_type__model__in=models)
    user.user_permissions.set(rows.exclude(codename="use_server_role"))
    client.force_login(user)
    return user
