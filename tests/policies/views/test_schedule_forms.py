"""Schedules are made, drawn, changed and deleted on pages of their own; the matrix has who may."""

from datetime import datetime

import pytest
from django.test import Client

from n2wbackup.lib import clock
from policies.models import Policy, Schedule
from policies.services.due import week
from policies.services.entry import policies
from scripts_admin.models import User
from tests.policies.views import admin_forms
from tests.policies.views.page import Sent, check_can_be_read_aloud, client_of, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
NOW = datetime.fromisoformat("2026-12-01T12:00:00+00:00")  # a Tuesday
PAGE = "/schedules/alice/nightly/"
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture
def owner(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def form(**changes: str) -> dict[str, str]:
    return {"name": "nightly", "cron": "0 2 * * *", "timezone": "UTC", **changes}


def test_a_schedule_is_made_and_its_week_is_drawn_with_a_table(owner: Client, alice: User) -> None:
    answer = owner.post("/schedules/new/", form(disabled="sat sun 00:00-06:00"))

    row = Schedule.objects.get()
    assert (row.owner, row.cron, row.disabled) == (alice, "0 2 * * *", ["sat sun 00:00-06:00"])
    assert answer.headers["Location"] == PAGE
    page = read(owner, PAGE)
    check_can_be_read_aloud(page)
    circles = [attrs["class"] for tag, attrs in page.tags if tag == "circle"]
    assert (circles.count("due"), circles.count("off")) == (4, 2)
    assert "1 in disabled times" in page.text


def test_what_is_due_is_counted_whole_even_where_marks_share_a_place(alice: User) -> None:
    row = admin_forms.schedule(alice, cron="* * * * *", timezone="UTC")

    days = week.of_schedule(row, NOW)

    assert [day.number for day in days] == [719, *[1440] * 6]
    assert len(days[1].marks) == 288
    assert days[1].more == 1440 - len(days[1].times)


def test_a_disabled_time_past_midnight_is_drawn_on_both_days(alice: User) -> None:
    row = admin_forms.schedule(alice, timezone="UTC", disabled=["wed 22:00-06:00"])

    days = week.of_schedule(row, NOW)

    assert [[tuple(part) for part in day.closed] for day in days[:4]] == [
        [],
        [(1320, 1440)],
        [(0, 360)],
        [],
    ]


def test_the_next_times_are_shown_while_typing_and_nothing_is_saved(owner: Client) -> None:
    for do, is_page in (("check", False), ("show", True)):
        page = owner.post("/schedules/new/", form(name="", do=do)).content.decode()
        assert "Wed 2026-12-02 02:00 UTC" in page
        assert ("<html" in page) is is_page
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cron": "nonsense"}, "fields but needs 5"),
        ({"timezone": "Mars/Olympus"}, "is not a time zone"),
        ({"disabled": "someday"}, "is not a disabled time"),
        ({"every_number": "2", "every_unit": "hours"}, "either cron, or every"),
        ({"name": "a/b"}, "without '/'"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_saved(
    owner: Client, changes: dict[str, str], sentence: str
) -> None:
    page = owner.post("/schedules/new/", form(**changes)).content.decode().replace("&#x27;", "'")

    assert sentence in page
    assert not Schedule.objects.exists()


def test_a_changed_schedule_plans_its_policies_again(owner: Client, policy: Policy) -> None:
    row = admin_forms.schedule(policy.owner, timezone="UTC")
    policies.save(policy, [row])
    path = f"{PAGE}edit/"

    owner.post(path, Sent(owner.get(path).content.decode()).values | {"cron": "0 5 * * *"})

    policy.refresh_from_db()
    assert policy.next_run_at == datetime.fromisoformat("2026-12-02T05:00:00+00:00")


def test_a_schedule_that_policies_follow_stays_and_one_alone_goes_by_its_name(
    owner: Client, policy: Policy
) -> None:
    row = admin_forms.schedule(policy.owner)
    policies.save(policy, [row])
    assert "because policies follow it: policy1" in read(owner, f"{PAGE}delete/").text
    owner.post(f"{PAGE}delete/", {"name": "nightly"})
    assert Schedule.objects.exists()

    policies.save(policy, [])
    owner.post(f"{PAGE}delete/", {"name": "wrong"})
    assert Schedule.objects.exists()
    owner.post(f"{PAGE}delete/", {"name": "nightly"})
    assert not Schedule.objects.exists()


def test_strangers_find_nothing(alice: User) -> None:
    admin_forms.schedule(alice)
    stranger = client_of(admin_forms.user("charlie"))

    assert {stranger.get(f"{PAGE}{page}").status_code for page in ("", "edit/", "delete/")} == {404}
    stranger.post("/schedules/new/", form(owner=str(alice.pk), name="theirs"))
    assert Schedule.objects.get(name="theirs").owner.username == "charlie"


def test_evil_text_stays_text(owner: Client, alice: User) -> None:
    name = EVIL.replace("/", "")
    admin_forms.schedule(alice, name=name)
    for path in (f"/schedules/alice/{name}/", f"/schedules/alice/{name}/delete/", "/schedules/"):
        assert "<svg onload" not in owner.get(path).content.decode()
    sent = dict.fromkeys(("name", "cron", "timezone", "disabled", "starting", "ending"), EVIL)
    for do in ("save", "check", "show"):
        page = owner.post("/schedules/new/", sent | {"do": do}).content.decode()
        assert "<svg onload" not in page
