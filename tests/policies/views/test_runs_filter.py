"""The list of runs is narrowed by its address, read page by page by key, and exported as CSV."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run
from policies.views import runs
from scripts_admin.models import User
from tests import factories
from tests.policies.views import page

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


@pytest.fixture
def policy() -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="nightly")


def made(policy: Policy, hours: int = 0, **columns: Any) -> Run:
    at = NIGHT + timedelta(hours=hours)
    facts = {"policy": policy, "created_at": at, "ended_at": at, "state": State.SUCCEEDED}
    return factories.RunFactory.create(**facts | columns)


def shown(client: Client, query: str) -> list[str]:
    links = [str(link) for link in page.read(client, f"/runs/?{query}").links]
    keys = [link.split("/")[2] for link in links if link.startswith("/runs/")]
    return [key for key in keys if len(key) == 36]


def exported(client: Client, query: str = "") -> list[dict[str, str]]:
    answer: Any = client.get(f"/runs/csv/?{query}")
    assert answer.streaming
    text = b"".join(answer).decode()
    return list(csv.DictReader(text.splitlines()))


def test_the_csv_says_how_late_a_run_began(policy: Policy) -> None:
    due: dict[str, Any] = {"trigger": Trigger.SCHEDULE, "scheduled_for": NIGHT}
    made(policy, **due, ordered_at=NIGHT + timedelta(seconds=4))
    made(policy, 1, trigger=Trigger.MANUAL)
    said = exported(page.client_of(policy.owner))
    assert [row["late_seconds"] for row in said] == ["", "4.0"]


def test_each_part_of_the_address_narrows_the_list(policy: Policy) -> None:
    failed = made(policy, state=State.FAILED)
    by_hand = made(policy, 24, trigger=Trigger.MANUAL)
    other = factories.PolicyFactory.create(owner=policy.owner, name="other")
    waiting = made(other, 48, trigger=Trigger.SCHEDULE, state=State.WAITING, ended_at=None)
    Run.objects.filter(pk=failed.pk).update(trigger=Trigger.RETRY)
    client = page.client_of(policy.owner)

    for query, runs_of_it in {
        "": [waiting, by_hand, failed],
        "state=failed": [failed],
        "state=succeeded": [by_hand],
        "state=waiting": [waiting],
        "trigger=manual": [by_hand],
        "trigger=schedule": [waiting],
        "policy=alice/other": [waiting],
        "policy=alice/nightly&trigger=retry": [failed],
        "since=2026-03-02": [waiting, by_hand],
        "until=2026-03-01": [failed],
        "since=2026-03-02&until=2026-03-02": [by_hand],
        "state=failed&trigger=manual": [],
    }.items():
        keys = [str(run.pk) for run in runs_of_it]
        assert shown(client, query) == keys, query
        assert [row["id"] for row in exported(client, query)] == keys, query


def test_what_names_nothing_is_told_beside_its_field_and_finds_no_run(policy: Policy) -> None:
    made(policy)
    client = page.client_of(policy.owner)

    for query, said in {
        "state=lost": "lost is not one of the available choices",
        "policy=nightly": "There is no policy 'nightly': write OWNER/NAME.",
        "since=yesterday": "Enter a valid date.",
    }.items():
        assert said in page.read(client, f"/runs/?{query}").text, query
        assert (shown(client, query), exported(client, query)) == ([], [])


def test_a_stranger_learns_nothing_of_a_policy_by_filtering_for_it(policy: Policy) -> None:
    made(policy)
    client = page.client_of(factories.charlie())

    seen = page.read(client, "/runs/?policy=alice/nightly&owner=alice")

    assert "There is no policy 'alice/nightly'" in seen.text
    assert "owner" not in client.get("/runs/").context["filter"].form.fields
    assert exported(client, "owner=alice") == []


def test_a_superuser_narrows_by_owner(policy: Policy) -> None:
    run = made(policy)
    made(factories.PolicyFactory.create(owner=factories.charlie()))
    client = page.client_of(User.objects.create(username="boss", is_superuser=True))

    assert shown(client, "owner=alice") == [str(run.pk)]
    assert "There is no user 'nobody'." in page.read(client, "/runs/?owner=nobody").text


def test_pages_follow_each_other_without_a_gap_and_keep_what_was_asked_for(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "ON_A_PAGE", 2)
    monkeypatch.setattr(runs, "READ_TOGETHER", 2)
    # Three of the same moment: the key tells them apart.
    keys = [str(made(policy, max(0, hour - 2)).pk) for hour in range(5)]
    made(policy, state=State.FAILED)
    client = page.client_of(policy.owner)
    wanted = [row["id"] for row in exported(client, "state=succeeded")]
    assert sorted(wanted) == sorted(keys)

    seen, address = list[str](), "/runs/?state=succeeded"
    while address:
        answer = client.get(address)
        found, tokens = answer.context["page"], answer.context["page"]
        seen += [str(run.pk) for run in found.rows]
        address = f"/runs/?state=succeeded&after={tokens.after}" if tokens.after else ""
        if len(seen) == 4:
            before = client.get(f"/runs/?state=succeeded&before={tokens.before}").context["page"]
            assert [str(run.pk) for run in before.rows] == wanted[:2]
            assert not before.before

    assert seen == wanted
    links = [str(link) for link in page.read(client, "/runs/?state=succeeded").links]
    assert "state=succeeded" in next(link for link in links if "after=" in link)


@pytest.mark.parametrize("token", ["x", "W10", "WyJhIiwiYiJd", "%00", "bnVsbA", "é"])
def test_a_token_that_is_none_shows_the_first_page(policy: Policy, token: str) -> None:
    run = made(policy)
    client = page.client_of(policy.owner)
    if token == "%00":
        assert client.get(f"/runs/?after={token}").status_code == 400
        return

    for way in ("after", "before"):
        assert shown(client, f"{way}={token}") == [str(run.pk)]


def test_no_text_becomes_a_formula_of_a_spreadsheet(policy: Policy) -> None:
    made(policy, reason='=HYPERLINK("https://example.org")\u202e', requested_by="+bob")

    (row,) = exported(page.client_of(policy.owner))

    assert row["reason"] == '\'=HYPERLINK("https://example.org")\\u202e'
    assert row["requested_by"] == "'+bob"
    assert row["created_at"] == "2026-03-01T02:30:00+00:00"


def test_nobody_without_a_login_gets_a_row(client: Client, policy: Policy) -> None:
    made(policy)

    assert client.get("/runs/csv/").status_code == 302
