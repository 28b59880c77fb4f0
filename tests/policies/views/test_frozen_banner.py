"""The red banner: on every page, renewed without a reload, and at the price of one search."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Policy, Run
from policies.views import frozen
from scripts_admin.models import User
from tests import factories
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
HOUR = timedelta(hours=1)
QUERIES = 4  # session, person, what is shared, banner
ASKS = f'{{"{frozen.CHANGED}": {{}}}}'
ON_PAGE = "http://testserver/runs/?state=failed"


def freeze(policy: Policy) -> None:
    Policy.objects.filter(pk=policy.pk).update(may_be_frozen_since=clock.now() - HOUR)


def ask(client: Client, path: str = "/frozen/", **headers: str) -> HttpResponse:
    told = {"HX-Request": "true", "HX-Current-URL": ON_PAGE, **headers}
    answer: Any = client.get(path, headers=told)
    return answer  # type: ignore[no-any-return] # the client adds to a response


def mark(text: str) -> str:
    tags = [attrs for tag, attrs in page.Page(text).tags if tag == "input"]
    return next(attrs["value"] or "" for attrs in tags if attrs.get("name") == "shown")


@pytest.mark.parametrize("path", ["/", "/runs/", "/policies/new/", "/profile/", "/no/such/page/"])
def test_every_page_has_it_while_anything_may_be_frozen(policy: Policy, path: str) -> None:
    client = page.client_of(policy.owner)
    assert "may be frozen since" not in client.get(path).content.decode()
    freeze(policy)
    seen = page.Page(client.get(path).content.decode())
    assert "may be frozen since" in seen.text
    sent_to = [attrs.get("action") for tag, attrs in seen.tags if tag == "form"]
    assert {"/policies/alice/policy1/thaw/", "/policies/alice/policy1/thawed/"} <= set(sent_to)
    assert [attrs["value"] for _, attrs in seen.tags if attrs.get("name") == "next"].count(path) > 1


def test_a_page_that_is_open_learns_of_it_and_of_its_end(policy: Policy) -> None:
    client = page.client_of(policy.owner)
    assert ask(client).status_code == 204

    freeze(policy)
    told = ask(client)
    text = told.content.decode()
    assert told.status_code == 200
    assert 'role="alert"' in text
    assert 'value="/runs/?state=failed"' in text, "the person comes back to the page"
    assert ask(client, f"/frozen/?shown={mark(text)}").status_code == 204

    Policy.objects.update(may_be_frozen_since=None)
    over = ask(client, f"/frozen/?shown={mark(text)}").content.decode()
    assert "No application may be frozen any more." in over
    assert 'role="alert"' not in over
    assert mark(over) == ""


def test_a_poll_costs_one_search_however_much_may_be_frozen(
    policy: Policy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(frozen.SHOWN + 3):
        freeze(factories.PolicyFactory.create(owner=policy.owner, name=f"more-{number}"))
    client = page.client_of(policy.owner)
    client.get("/")
    with django_assert_num_queries(QUERIES):
        answer = ask(client)
    text = answer.content.decode()
    assert text.count("Thaw now</button>") == frozen.SHOWN
    assert "/policies/?state=frozen" in text


def test_a_stranger_is_told_nothing(policy: Policy, bob: User, client: Client) -> None:
    freeze(policy)
    assert ask(client).status_code == 204


def test_without_a_script_its_address_leads_to_the_dashboard(policy: Policy) -> None:
    assert page.client_of(policy.owner).get("/frozen/")["Location"] == "/"


def test_a_run_that_may_be_frozen_makes_its_page_ask_at_once(run: Run) -> None:
    client = page.client_of(run.owner)  # type: ignore[arg-type] # alice
    assert ask(client, f"/runs/{run.pk}/")["HX-Trigger"] == ASKS
    Run.objects.update(state=State.WAITING)
    assert "HX-Trigger" not in ask(client, f"/runs/{run.pk}/").headers
    Run.objects.update(state=State.THAWING)
    assert ask(client, "/")["HX-Trigger"] == ASKS


def test_the_verdict_is_renewed_and_says_that_the_lists_are_older(policy: Policy) -> None:
    Policy.objects.update(protected_until=clock.now() + HOUR, unprotected_from=clock.now() + HOUR)
    client = page.client_of(policy.owner)
    loaded = mark(client.get("/").content.decode().partition('id="standing"')[2])
    path = f"/?loaded={loaded}&shown={loaded}"
    assert ask(client, path, **{"HX-Trigger": "standing"}).status_code == 204

    Policy.objects.update(failed_since=clock.now())
    told = ask(client, path, **{"HX-Trigger": "standing"}).content.decode()
    assert '<p id="stands" hx-swap-oob="innerHTML">1 policy is failing.</p>' in told
    assert "It has changed since the lists below were loaded." in told
    assert "<html" not in told
