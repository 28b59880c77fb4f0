"""What a person does with a policy on its page; the matrix has who may."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from n2wbackup.lib import clock
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, Schedule
from policies.services.entry import policies
from scripts_admin.folders import storage
from scripts_admin.models import User
from tests.policies.views import admin_forms

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PAGE = "/policies/alice/policy1/"
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture
def owner(policy: Policy, alice: User, client: Client) -> Client:
    schedule = admin_forms.schedule(alice, timezone="UTC")
    policies.save(policy, [schedule])
    client.force_login(alice)
    return client


def in_days(number: int) -> datetime:
    return (clock.now() + timedelta(days=number)).replace(second=0, microsecond=0)


def test_back_up_now_leads_to_the_run_and_a_double_click_to_the_same(owner: Client) -> None:
    first, second = (owner.post(f"{PAGE}back-up/") for _ in range(2))

    run = Run.objects.get()
    assert (run.trigger, run.requested_by) == (Trigger.MANUAL, "alice")
    assert first.headers["Location"] == second.headers["Location"] == f"/runs/{run.pk}/"


def test_a_test_of_the_scripts_leads_to_its_run(owner: Client) -> None:
    assert b"frozen for real" in owner.get(f"{PAGE}test/").content

    owner.post(f"{PAGE}test/", {"phase": "after", "argument": "1"})

    run = Run.objects.get()
    assert (run.trigger, run.test_phase, run.test_argument) == (Trigger.TEST, "after", "1")


@pytest.mark.parametrize("form", [{"argument": "1"}, {"phase": "before", "argument": "0"}])
def test_before_gets_no_argument(owner: Client, form: dict[str, str]) -> None:
    assert (
        b"An argument needs the phase after or complete" in owner.post(f"{PAGE}test/", form).content
    )
    assert not Run.objects.exists()


def test_a_pause_is_shown_and_resumed(owner: Client, policy: Policy) -> None:
    until = in_days(3)
    form = {"until": f"{until:%Y-%m-%dT%H:%M}", "reason": EVIL}

    page = owner.post(f"{PAGE}pause/", form, follow=True).content.decode()

    policy.refresh_from_db()
    assert (policy.paused_until, policy.paused_reason, policy.paused_by) == (until, EVIL, "alice")
    assert "Paused until" in page
    assert "<svg onload" not in page

    page = owner.post(f"{PAGE}resume/", follow=True).content.decode()

    policy.refresh_from_db()
    assert policy.paused_until is None
    assert "Paused until" not in page


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"until": "2020-01-01T00:00", "reason": "x"}, "is in the past"),
        ({"until": "nonsense", "reason": "x"}, "Write a date and a time in UTC"),
        ({"until": "2199-01-01T00:00", "reason": "x"}, "366 days at most"),
        ({"until": "", "reason": "x"}, "required"),
        ({"until": f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M}"}, "required"),
    ],
)
def test_a_pause_without_a_good_end_or_a_reason_is_refused(
    owner: Client, policy: Policy, form: dict[str, str], sentence: str
) -> None:
    assert sentence in owner.post(f"{PAGE}pause/", form).content.decode()

    policy.refresh_from_db()
    assert policy.paused_at is None


def test_a_switch_disables_and_enables(owner: Client, policy: Policy) -> None:
    owner.post(f"{PAGE}switch/", {"on": "no"})
    policy.refresh_from_db()
    assert (policy.enabled, policy.next_run_at) == (False, None)

    owner.post(f"{PAGE}switch/", {"on": "yes"})
    policy.refresh_from_db()
    assert policy.enabled
    assert policy.next_run_at is not None


def test_deleting_says_what_it_leaves_behind_and_asks_for_the_name(
    owner: Client, policy: Policy
) -> None:
    place = storage.create(policy.folder)
    (place / "before_policy1.sh").write_text("#!/bin/sh\n")

    page = owner.get(f"{PAGE}delete/").content.decode()
    assert "before_policy1.sh" in page
    assert "0 snapshots in AWS" in page

    page = owner.post(f"{PAGE}delete/", {"name": "policy"}).content.decode()
    assert "is not the name. Nothing was deleted" in page
    assert Policy.objects.exists()

    page = owner.post(f"{PAGE}delete/", {"name": "policy1"}, follow=True).content.decode()
    assert "alice/policy1: deleted; its runs, snapshots and scripts stay." in page
    assert not Policy.objects.exists()
    assert Schedule.objects.exists()
    assert (place / "before_policy1.sh").exists()


def test_while_a_run_is_unfinished_nothing_is_deleted(owner: Client) -> None:
    owner.post(f"{PAGE}back-up/")

    page = owner.post(f"{PAGE}delete/", {"name": "policy1"}, follow=True).content.decode()

    assert "cannot be deleted while its run" in page
    assert Policy.objects.exists()


def test_a_get_changes_nothing_and_leads_to_the_policy(owner: Client, policy: Policy) -> None:
    for page in ("back-up", "switch", "resume"):
        assert owner.get(f"{PAGE}{page}/").headers["Location"] == PAGE

    policy.refresh_from_db()
    assert policy.enabled
    assert not Run.objects.exists()
