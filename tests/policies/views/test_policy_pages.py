"""The pages of policies and schedules: what they show, and to whom."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from policies.domain.protection import NEVER_UNTIL
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import DailyCount, Policy, PolicyTarget, Run
from policies.selectors import schedules as schedule_rows
from policies.services.entry import policies
from policies.views import policies as policy_pages
from policies.views import schedules as schedule_pages
from scripts_admin.models import User
from tests import factories
from tests.policies.views import admin_forms, page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
PATHS = ["/policies/", "/policies/alice/policy1/", "/schedules/"]
QUERIES_OF_A_LIST = 10  # session, person, what is shared, policies, five counts, banner
# Session, person, what is shared, policy, targets, schedules, mute, gone, days, windows, runs, proof, banner.
QUERIES_OF_A_POLICY = 13
# Session, person, what is shared, keys, schedules, how many policies, policies, banner.
QUERIES_OF_SCHEDULES = 8


@pytest.fixture(autouse=True)
def noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def night(policy: Policy) -> Policy:
    """Alice's policy, which follows two schedules."""
    weekend = ["sat sun 00:00-24:00"]
    nightly = admin_forms.schedule(policy.owner, timezone="Europe/Berlin", disabled=weekend)
    every = {"cron": "", "every_number": 1, "every_unit": "weeks", "starting": "2026-11-01T00:00"}
    weekly = admin_forms.schedule(policy.owner, "weekly", **every, ending="2026-12-30T00:00")
    policies.save(policy, [nightly, weekly])
    policy.refresh_from_db()
    return policy


def finished(policy: Policy, state: State = State.SUCCEEDED, **columns: object) -> Run:
    made = factories.RunFactory.create(
        policy=policy, state=state, ended_at=NOON, trigger=Trigger.SCHEDULE, **columns
    )
    assert isinstance(made, Run)
    return made


def test_the_list_shows_when_each_runs_next_and_how_the_last_one_ended(night: Policy) -> None:
    last = finished(night, State.PARTIAL)
    hold = 0.25
    Run.objects.update(hold_seconds=hold)
    since = NOON - timedelta(hours=5)
    Policy.objects.update(
        last_run=last, last_success_at=NOON, may_be_frozen_since=NOON, failed_since=since
    )

    seen = page.read(page.client_of(night.owner), "/policies/")

    for word in (
        *("alice/policy1", "never", "Fri 2026-11-27 01:00", "may be frozen", "5 hours ago"),
        "250 ms",
    ):
        assert word in seen.text, word
    assert {"/policies/alice/policy1/", f"/runs/{last.pk}/"} <= set(seen.links)


def test_a_policy_shows_its_facts_and_the_next_five_times_by_each_clock(night: Policy) -> None:
    run = finished(night, reason="one volume was missing")
    Policy.objects.update(retry_count=2, retry_minutes=7)

    seen = page.read(page.client_of(night.owner), "/policies/alice/policy1/")

    for word in (
        "lab", admin_forms.INSTANCE, "2, 7 min apart", "one volume was missing",
        "0 2 * * * (At 02:00 every day), in the time zone Europe/Berlin; disabled sat sun 00:00-24:00",
        "every week from 2026-11-01 00:00, until 2026-12-30 00:00, in the time zone UTC",
    ):  # fmt: skip
        assert word in seen.text, word
    times = [attrs["datetime"] or "" for tag, attrs in seen.tags if tag == "time"]
    times = times[times.index("2026-11-27T01:00:00+00:00") :][:5]
    assert [at[:16] for at in times] == [
        "2026-11-27T01:00", "2026-11-29T00:00", "2026-11-30T01:00", "2026-12-01T01:00",
        "2026-12-02T01:00",
    ]  # fmt: skip
    assert seen.text.count(" CET") == 5
    assert f"/runs/{run.pk}/" in seen.links
    assert "/admin/" not in " ".join(link or "" for link in seen.links)


def test_a_policy_that_may_be_frozen_is_an_alarm_on_its_page(night: Policy) -> None:
    Policy.objects.update(may_be_frozen_since=NOON)

    seen = page.read(page.client_of(night.owner), "/policies/alice/policy1/")

    assert "alert" in [attrs.get("role") for _, attrs in seen.tags]
    assert "Yes, alice/policy1 is thawed" in " ".join(seen.text.split())
    sent_to = [attrs.get("action") for tag, attrs in seen.tags if tag == "form"]
    assert "/policies/alice/policy1/thaw/" in sent_to
    assert "/policies/alice/policy1/thawed/" in sent_to
    assert "admin pages" not in seen.text.lower()


@pytest.mark.parametrize(
    ("path", "words"), [(PATHS[0], "paused"), (PATHS[1], "The policy is disabled.")]
)
def test_a_disabled_policy_has_no_next_time(night: Policy, path: str, words: str) -> None:
    policies.switch(night, on=False)

    seen = page.read(page.client_of(night.owner), path)

    assert words in seen.text
    assert "2026-11-27" not in seen.text


def test_schedules_show_their_next_times_and_who_follows_them(night: Policy) -> None:
    seen = page.read(page.client_of(night.owner), "/schedules/")

    for word in ("alice/nightly", "alice/weekly", "At 02:00 every day", "Fri 2026-11-27 02:00 CET"):
        assert word in seen.text, word
    assert seen.links.count("/policies/alice/policy1/") == 2
    assert len([tag for tag, _ in seen.tags if tag == "time"]) == 10


def test_a_run_shows_its_attempt_retry_and_the_due_times_that_it_stands_for(night: Policy) -> None:
    missed = finished(
        night, State.MISSED, scheduled_for=NOON - timedelta(days=3), due_count=3,
        due_until=NOON - timedelta(days=1),
    )  # fmt: skip
    failed = finished(night, State.FAILED, attempt=2, retry_at=NOON, scheduled_for=NOON)
    client = page.client_of(night.owner)

    seen = page.read(client, f"/runs/{missed.pk}/")
    assert "Covers 3 due times, from 2026-11-23" in " ".join(seen.text.split())
    assert "2026-11-23 12:00:00" in seen.text
    assert "2026-11-25 12:00:00" in seen.text
    assert "/policies/alice/policy1/" in seen.links
    again = page.read(client, f"/runs/{failed.pk}/")
    assert "attempt 2" in again.text
    assert "Next retry 2026-11-26 12:00:00" in " ".join(again.text.split())


@pytest.mark.parametrize("path", PATHS)
def test_a_page_can_be_read_by_a_machine_that_reads_aloud(night: Policy, path: str) -> None:
    finished(night)
    Policy.objects.update(may_be_frozen_since=NOON)

    page.check_can_be_read_aloud(page.read(page.client_of(night.owner), path))


def test_what_people_enter_is_text_and_never_markup(policy: Policy) -> None:
    bad = "<img src=x onerror=alert(1)>"
    policies.save(policy, [admin_forms.schedule(policy.owner, bad)])
    client = page.client_of(policy.owner)

    for path in PATHS[1:]:
        seen = page.read(client, path)
        assert "img" not in [tag for tag, _ in seen.tags], path
        assert bad in seen.text, path


def test_a_stranger_finds_neither_policy_nor_schedule(
    client: Client, night: Policy, bob: User
) -> None:
    for path in ("/policies/", "/schedules/"):
        seen = page.read(client, path)
        assert "alice" not in seen.text
        assert "There are no" in seen.text
    assert client.get("/policies/alice/policy1/").status_code == 404
    assert client.get("/policies/alice/nothing/").status_code == 404
    assert client.get("/policies/bob/policy1/").status_code == 404


def test_a_superuser_sees_all_and_the_way_to_change_it(
    client: Client, night: Policy, boss: User
) -> None:
    assert "/policies/alice/policy1/" in page.read(client, "/policies/").links
    assert "alice/nightly" in page.read(client, "/schedules/").text
    links = page.read(client, "/policies/alice/policy1/").links
    assert f"/admin/policies/policy/{night.pk}/change/" in links
    assert {"/runs/", "/policies/", "/schedules/"} <= set(links)


@pytest.mark.parametrize("path", PATHS)
def test_nobody_sees_a_page_without_logging_in(client: Client, night: Policy, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/login/?next={path}")


def test_many_rows_cost_as_many_queries_as_one(
    night: Policy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = page.client_of(night.owner)
    for number in range(5):
        more = Policy(owner=night.owner, account=night.account, name=f"more-{number}")
        policies.save(more, [admin_forms.schedule(night.owner, f"more-{number}")])
        policies.replace_targets(
            more, [PolicyTarget(instance_id=f"i-0000000{number}", region="us-east-1")]
        )
        Policy.objects.filter(pk=more.pk).update(last_run=finished(more))
        finished(night)

    Policy.objects.update(last_success_at=NOON)
    client.get("/")  # the first page of a session notes when it began

    with django_assert_num_queries(QUERIES_OF_A_LIST):
        client.get("/policies/")
    with django_assert_num_queries(QUERIES_OF_A_POLICY):
        client.get("/policies/alice/policy1/")
    with django_assert_num_queries(QUERIES_OF_SCHEDULES):
        client.get("/schedules/")


def test_a_long_list_has_pages_and_each_row_stands_on_one(
    night: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies.save(Policy(owner=night.owner, account=night.account, name="policy2"))
    monkeypatch.setattr(policy_pages, "ON_A_PAGE", 1)
    monkeypatch.setattr(schedule_pages, "ON_A_PAGE", 1)
    client = page.client_of(night.owner)

    first = page.read(client, "/policies/")
    assert "policy1" in first.text
    assert "policy2" not in first.text
    (following,) = [link for link in first.links if link and "after=" in link]
    second = page.read(client, following)
    assert "policy2" in second.text
    assert "policy1" not in second.text
    assert not [link for link in second.links if link and "after=" in link]
    more = page.read(client, "/schedules/").links[-1]
    assert "alice/weekly" in page.read(client, f"/schedules/{more}").text
    for after in ("x", "_", "2026_", "9999-99-99_1", "2026-01-01_x"):
        assert "policy1" in page.read(client, f"/policies/?after={after}").text, after


def test_of_many_followers_a_schedule_names_the_first(
    night: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = night.schedules.get(name="nightly")
    for number in range(3):
        more = Policy(owner=night.owner, account=night.account, name=f"follower{number}")
        policies.save(more, [nightly])
    monkeypatch.setattr(schedule_rows, "FOLLOWERS", 2)

    seen = page.read(page.client_of(night.owner), "/schedules/").text

    assert "follower0" in seen
    assert "follower2" not in seen
    assert "and 2 more" in seen


def test_a_filter_stays_for_the_person_until_they_show_all(night: Policy) -> None:
    policies.save(Policy(owner=night.owner, account=night.account, name="other"))
    client = page.client_of(night.owner)

    assert "other" not in page.read(client, "/policies/?q=POLICY&state=never").text
    again = client.get("/policies/")
    assert (again.status_code, again["Location"]) == (302, "/policies/?state=never&q=POLICY")
    assert "other" in page.read(client, "/policies/?state=").text
    assert "other" in page.read(client, "/policies/").text


def test_the_filter_of_another_person_is_not_used(night: Policy) -> None:
    client = page.client_of(night.owner)
    client.get("/policies/?q=nothing")
    client.force_login(admin_forms.user("carol"))
    assert client.get("/policies/").status_code == 200


def test_each_state_is_a_filter(night: Policy) -> None:
    client = page.client_of(night.owner)
    hour = timedelta(hours=1)
    for state, columns in {
        "never": {},
        "late": {"protected_until": NOON - hour, "unprotected_from": NOON + hour},
        "unprotected": {"protected_until": NOON - 2 * hour, "unprotected_from": NOON - hour},
        "protected": {"protected_until": NOON + hour, "unprotected_from": NOON + 2 * hour},
        "paused": {"paused_since": NOON - hour},
        "failing": {"failed_since": NOON - hour},
        "frozen": {"may_be_frozen_since": NOON - hour},
    }.items():
        Policy.objects.update(
            protected_until=NEVER_UNTIL, unprotected_from=NEVER_UNTIL, paused_since=None
        )
        Policy.objects.update(**columns)
        for asked in ("never", "late", "unprotected", "protected", "paused"):
            found = is_listed(client, asked)
            own = state if state in {"late", "unprotected", "protected", "paused"} else "never"
            assert found == (asked == own), (state, asked)
        assert is_listed(client, state)


def is_listed(client: Client, state: str) -> bool:
    """Tell whether the list has the policy; the banner names it whatever is listed."""
    return "table" in [tag for tag, _ in page.read(client, f"/policies/?state={state}").tags]


def test_the_page_shows_protection_windows_calendar_and_what_is_gone(night: Policy) -> None:
    run = finished(night, freeze_seconds=1.5, hold_seconds=0.5, fired_at=NOON, gone_at=NOON)
    target = factories.RunTargetFactory.create(run=run, instance_id=admin_forms.INSTANCE)
    factories.RunSnapshotFactory.create(target=target, snapshot_id="snap-lost", state="gone")
    DailyCount.objects.create(policy=night, day=NOON.date(), state="failed", runs=2)
    Policy.objects.update(rpo_hours=28, objective_seconds=28 * 3_600)
    PolicyTarget.objects.update(crash_at=NOON - timedelta(hours=30))

    seen = page.read(page.client_of(night.owner), "/policies/alice/policy1/")

    for word in (
        *("snap-lost", "nothing", "2026-11-26: 2 failed", "1.5 s", "500 ms", "late 2 h"),
        "28 h, as set",
    ):
        assert word in seen.text, word
