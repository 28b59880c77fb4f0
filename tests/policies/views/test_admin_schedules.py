"""Schedules in the admin, by the saving rules; everyone but a superuser sees only their own."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import time_machine
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from policies.models import Policy, Schedule
from policies.services.entry import policies
from scripts_admin.models import User
from tests.policies.views import page
from tests.policies.views.admin_forms import act, errors, schedule, schedule_form, url

pytestmark = pytest.mark.django_db
LIST = "/admin/policies/schedule/"
ADD = f"{LIST}add/"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
EVERY = {"cron": "", "every_number": 6, "every_unit": "hours", "starting": "2026-12-01T00:00"}


@pytest.fixture(autouse=True)
def noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def test_a_schedule_is_made_by_cron_or_by_counting(client: Client, boss: User, alice: User) -> None:
    held = "sun, sat 08:00-18:00\r\n\r\n 22:00-06:00 \r\n"
    client.post(ADD, schedule_form(alice, disabled=held))
    client.post(ADD, schedule_form(alice, name="often", ending="2027-01-01T00:00", **EVERY))

    nightly, often = Schedule.objects.order_by("name")
    assert (nightly.cron, nightly.timezone) == ("0 2 * * *", "Europe/Berlin")
    assert nightly.disabled == ["sat sun 08:00-18:00", "22:00-06:00"]
    assert (often.every_number, often.every_unit) == (6, "hours")
    assert (often.starting, often.ending) == ("2026-12-01T00:00", "2027-01-01T00:00")


@pytest.mark.parametrize(
    ("values", "field", "told"),
    [
        ({"cron": "0 2 * *"}, "cron", "has 4 fields"),
        ({"cron": ""}, "cron", "must say when"),
        ({"starting": "2026-12-01T00:00"}, "starting", "either cron, or every"),
        ({**EVERY, "starting": ""}, "starting", "every needs a first time"),
        ({**EVERY, "every_number": 0}, "every_number", "from 1 to"),
        ({"timezone": "Europe/Berln"}, "timezone", "did you mean Europe/Berlin?"),
        ({"timezone": ""}, "timezone", "This field is required."),
        ({"ending": "tomorrow"}, "ending", "is not a date and time"),
        ({"disabled": "sat"}, "disabled", "is not a disabled time"),
        ({"disabled": "22:00-06:00\nfunday 1:00-2:00"}, "disabled", "is not a day of the week"),
        ({"name": "a/b"}, "name", "visible text without"),
        ({"name": "TAKEN"}, "name", "already has a schedule TAKEN"),
    ],
)
def test_what_cannot_be_is_told_once_at_its_field_and_not_saved(
    client: Client, boss: User, alice: User, values: dict[str, object], field: str, told: str
) -> None:
    schedule(alice, "taken")

    response = client.post(ADD, schedule_form(alice, **values))

    assert response.status_code == 200
    (error,) = errors(response.content)
    assert told in error
    assert list(response.context["adminform"].form.errors) == [field]
    assert Schedule.objects.count() == 1


def test_the_form_offers_a_calendar_and_every_time_zone(
    client: Client, boss: User, alice: User
) -> None:
    made = schedule(alice, timezone="America/New_York", disabled=["sat 08:00-18:00"])

    seen = page.read(client, url(made))

    kinds = {attrs.get("name"): attrs.get("type") for tag, attrs in seen.tags if tag == "input"}
    assert kinds["starting"] == kinds["ending"] == "datetime-local"
    zones = [attrs for tag, attrs in seen.tags if tag == "option" and "/" in (attrs["value"] or "")]
    assert {"Asia/Tokyo", "Europe/Berlin"} < {attrs["value"] for attrs in zones}
    assert [attrs["value"] for attrs in zones if "selected" in attrs] == ["America/New_York"]
    assert "sat 08:00-18:00" in seen.text


def test_a_zone_that_is_not_known_any_more_is_shown_and_kept_out_of_the_way(
    client: Client, boss: User, policy: Policy
) -> None:
    made = schedule(policy.owner)
    policies.save(policy, [made])
    Schedule.objects.update(timezone="Europe/Atlantis")

    for path in (
        LIST,
        url(made),
        url(policy),
        "/schedules/",
        "/policies/alice/policy1/",
    ):
        assert "is not a time zone" in page.read(client, path).text, path
    chosen = [a["value"] for _, a in page.read(client, url(made)).tags if "selected" in a]
    assert "Europe/Atlantis" in chosen
    response = client.post(url(made), schedule_form(policy.owner, timezone="Europe/Atlantis"))
    assert "is not a time zone" in errors(response.content)[0]
    client.post(url(made), schedule_form(policy.owner, timezone="UTC"))
    assert Schedule.objects.get().timezone == "UTC"


def test_its_page_shows_the_next_five_times_by_both_clocks_and_who_follows(
    client: Client, boss: User, policy: Policy
) -> None:
    made = schedule(policy.owner, timezone="Europe/Berlin", disabled=["sat 00:00-24:00"])
    policies.save(policy, [made])

    seen = page.read(client, url(made))

    assert "Fri 2026-11-27 01:00 UTC · Fri 2026-11-27 02:00 CET" in seen.text
    assert "2026-11-28" not in seen.text
    assert seen.text.count("02:00 CET") == 5
    assert "/policies/alice/policy1/" in seen.links


def test_the_list_says_when_where_for_how_many_and_when_next(
    client: Client, boss: User, policy: Policy
) -> None:
    policies.save(policy, [schedule(policy.owner, timezone="Europe/Berlin")])
    schedule(policy.owner, "often", timezone="UTC", **EVERY)

    seen = page.read(client, LIST).text

    for word in ("At 02:00 every day", "Europe/Berlin", "every 6 hours from 2026-12-01 00:00"):
        assert word in seen, word
    assert "2026-11-27 01:00 UTC" in seen
    assert "2026-12-01 00:00 UTC" in seen


def test_a_change_plans_anew_what_follows(client: Client, boss: User, policy: Policy) -> None:
    made = schedule(policy.owner)
    policies.save(policy, [made])

    client.post(url(made), schedule_form(policy.owner, cron="0 5 * * *", timezone="UTC"))

    policy.refresh_from_db()
    assert policy.next_run_at == datetime(2026, 11, 27, 5, tzinfo=UTC)


def test_a_schedule_that_is_followed_is_not_deleted(
    client: Client, boss: User, policy: Policy
) -> None:
    made = schedule(policy.owner)
    policies.save(policy, [made])

    told = client.post(url(made, "delete"), {"post": "yes"}).content.decode()
    form = {"action": "delete_selected", "_selected_action": made.pk, "post": "yes"}
    also = client.post(LIST, form).content.decode()

    assert "because policies follow it: policy1" in told
    assert "because policies follow it: policy1" in also
    assert list(policy.schedules.all()) == [made]
    policies.save(policy, [])
    client.post(url(made, "delete"), {"post": "yes"})
    assert not Schedule.objects.exists()


def test_staff_meets_only_their_own_schedules(client: Client, bob: User, policy: Policy) -> None:
    theirs = schedule(policy.owner, "alices-night")
    before = list(Schedule.objects.values())

    assert "alices-night" not in page.read(client, LIST).text
    for path, form in ((url(theirs), schedule_form(bob)), (url(theirs, "delete"), {"post": "yes"})):
        assert client.get(path).status_code == 302
        assert client.post(path, form).status_code == 302
    act(client, "schedule", "delete_selected", theirs)
    given = client.post(ADD, schedule_form(policy.owner, name="gift"))
    assert errors(given.content)
    assert list(Schedule.objects.values()) == before

    client.post(ADD, schedule_form(bob, name="own"))
    assert Schedule.objects.get(name="own").owner == bob


def test_many_schedules_cost_as_many_queries_as_one(
    client: Client, boss: User, policy: Policy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.get("/")  # the first page of a session notes when it began
    policies.save(policy, [schedule(policy.owner)])
    with django_assert_num_queries(5) as first:
        client.get(LIST)
    for number in range(5):
        schedule(policy.owner, f"more-{number}")

    with django_assert_num_queries(len(first)):
        client.get(LIST)
