"""From an empty installation to the first backup: each page on the way says what is next."""

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, Policy
from scripts_admin.models import User
from tests import factories
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def next_step(client: Client, path: str = "/") -> str:
    text = page.read(client, path).text
    return text.partition("Next: ")[2].partition(".")[0]


def test_each_step_leads_to_the_next(client: Client, boss: User, settings: Settings) -> None:
    assert next_step(client) == next_step(client, "/policies/") == "Add an AWS account"
    account = factories.AccountFactory.create(owner=boss)
    assert next_step(client) == next_step(client, "/accounts/boss/lab/") == "Make a policy"

    policy = factories.PolicyFactory.create(owner=boss, account=account, name="shop")
    here = "/policies/boss/shop/"
    assert next_step(client) == next_step(client, here) == "Add its scripts"

    folder = Path(settings.N2W_SCRIPTS_ROOT)
    folder.mkdir(exist_ok=True)
    script = folder / "before_shop.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert next_step(client) == next_step(client, here) == "Test the scripts"

    tried = factories.RunFactory.create(
        policy=policy, trigger=Trigger.TEST, state=State.SUCCEEDED, ended_at=clock.now()
    )
    assert next_step(client) == next_step(client, f"/runs/{tried.pk}/") == "Make the first backup"

    Policy.objects.update(last_success_at=clock.now(), protected_until=clock.now())
    for path in ("/", here, f"/runs/{tried.pk}/"):
        assert "The way to the first backup" not in page.read(client, path).text


def test_a_policy_that_fails_is_not_lead_by_the_hand_any_more(
    client: Client, policy: Policy
) -> None:
    client.force_login(policy.owner)
    Policy.objects.update(failed_since=clock.now())
    assert "The way to the first backup" not in page.read(client, "/").text


def test_nobody_is_led_to_what_they_may_not_do(client: Client, policy: Policy, bob: User) -> None:
    assert Account.objects.exists()
    assert next_step(client) == "Add an AWS account"
    assert "policy1" not in page.read(client, "/").text
