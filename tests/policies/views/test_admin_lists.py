"""The lists of the admin stay quick and honest when there is much: of policies, of runs, of folders."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from policies.admin import lists, runs
from policies.models import Policy, Run
from scripts_admin.models import User
from scripts_admin.services import folders
from tests import factories
from tests.policies.views import page

pytestmark = pytest.mark.django_db


def found(client: Client, query: str, *candidates: Run) -> list[Run]:
    text = client.get(f"/admin/policies/run/?{query}").content.decode()
    return [run for run in candidates if f"/run/{run.pk}/change/" in text]


def test_the_filter_by_policy_works_and_says_what_it_shows_among_many(
    client: Client, boss: User, policy: Policy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = factories.RunFactory.create()
    monkeypatch.setattr(runs, "MOST_CHOICES", 1)

    assert found(client, f"of_policy={policy.pk}", run, other) == [run]
    assert "alice/policy1" in page.read(client, f"/admin/policies/run/?of_policy={policy.pk}").text
    for unknown in ("0", "x", "999999999999999999999"):
        assert found(client, f"of_policy={unknown}", run, other) == []
        text = page.read(client, f"/admin/policies/run/?of_policy={unknown}").text
        assert "no such policy" in text


def test_a_search_finds_runs_by_whole_names_and_by_id(
    client: Client, boss: User, policy: Policy, run: Run
) -> None:
    other = factories.RunFactory.create()

    for said in ("alice/policy1", "policy1", "POLICY1", "alice", str(run.pk)):
        assert found(client, f"q={said}", run, other) == [run], said
    for said in ("polic", "bob/policy1", "nobody", "%"):
        assert found(client, f"q={said}", run, other) == [], said


def test_what_is_too_much_to_count_is_said_to_be_more(
    client: Client, boss: User, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "COUNTED", 3)
    for _ in range(3):
        factories.RunFactory.create(policy=policy, state="failed", ended_at="2026-01-01T00:00Z")
    assert "3 runs" in page.read(client, "/admin/policies/run/").text

    factories.RunFactory.create(policy=policy)

    assert "more than 3 runs" in page.read(client, "/admin/policies/run/").text


def test_no_form_lists_every_policy(client: Client, boss: User, policy: Policy) -> None:
    assert "policy1" not in page.read(client, "/admin/policies/alarmreceivers/add/").text


def test_a_policy_s_form_offers_the_schedules_of_its_owner(
    client: Client, boss: User, policy: Policy
) -> None:
    policy.owner.schedules.create(name="hers", cron="0 2 * * *")
    factories.charlie().schedules.create(name="his", cron="0 2 * * *")

    seen = page.read(client, f"/admin/policies/policy/{policy.pk}/change/").text

    assert "alice/hers" in seen
    assert "charlie/his" not in seen


def test_many_folders_cost_as_many_queries_as_one(client: Client, boss: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as made:
            assert client.get("/admin/scripts_admin/folder/").status_code == 200
        return len(made)

    folders.of(factories.alice())
    queries()
    one = queries()
    for _ in range(4):
        folders.of(factories.UserFactory.create())

    assert queries() == one
