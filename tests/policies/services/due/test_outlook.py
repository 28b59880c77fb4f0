"""The next due times, as pages and show_policy show them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from pytest_django import Settings

from policies.domain.runs.sequence import State
from policies.models import Policy, Schedule
from policies.services.due import outlook
from policies.services.due.outlook import WhyNone
from policies.services.entry import policies, schedules
from tests import factories

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday


@pytest.fixture(autouse=True)
def noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def policy(db: None) -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    factories.PolicyTargetFactory.create(policy=made, instance_id="i-01234567")
    assert isinstance(made, Policy)
    return made


def schedule(policy: Policy, **columns: object) -> Schedule:
    made = Schedule(**{"owner": policy.owner, "name": "nightly", "cron": "0 2 * * *", **columns})
    schedules.save(made)
    return made


def every(policy: Policy, number: int, unit: str, starting: str, ending: str) -> Schedule:
    counted = {"every_number": number, "every_unit": unit, "starting": starting}
    columns: dict[str, object] = {"cron": "", **counted, "ending": ending}
    return schedule(policy, **columns)


def shown(*arguments: str) -> str:
    said = StringIO()
    call_command("show_policy", "alice/policy1", *arguments, stdout=said)
    return said.getvalue()


def test_two_schedules_at_one_moment_are_one_time_by_both_clocks(policy: Policy) -> None:
    berlin = schedule(policy, timezone="Europe/Berlin")
    tokyo = schedule(policy, name="tokyo", cron="0 10 * * *", timezone="Asia/Tokyo")
    policies.save(policy, [berlin, tokyo])

    ahead = outlook.of_policy(policy)

    assert [at.isoformat() for at in ahead.times] == [
        f"2026-{day}T01:00:00+00:00" for day in ("11-27", "11-28", "11-29", "11-30", "12-01")
    ]
    assert ahead.zones == ("Asia/Tokyo", "Europe/Berlin")


@pytest.mark.parametrize(
    ("columns", "why", "note"),
    [
        ({"cron": "", "every_number": 1, "every_unit": "days", "starting": "2026-01-01T00:00",
          "ending": "2026-02-01T00:00"}, WhyNone.NOTHING_MORE, "No due time is left."),
        ({"cron": "* * * * *", "disabled": ["00:00-24:00"]}, WhyNone.ALL_IN_DISABLED_TIMES,
         "All of the next 100 due times are within disabled times."),
    ],
)  # fmt: skip
def test_where_nothing_comes_it_says_why(
    policy: Policy, columns: dict[str, object], why: WhyNone, note: str
) -> None:
    row = schedule(policy, **columns)

    ahead = outlook.of_schedule(row, looked_at=100)

    assert ahead.times == ()
    assert (ahead.why, ahead.note) == (why, note)


def test_what_is_disabled_or_follows_nothing_says_so(policy: Policy) -> None:
    assert outlook.of_policy(policy).why == WhyNone.NO_SCHEDULE
    policy.enabled = False
    policies.save(policy, [schedule(policy)])
    assert outlook.of_policy(policy).why == WhyNone.DISABLED


def test_when_is_told_in_words(policy: Policy) -> None:
    assert outlook.in_words(schedule(policy, name="cron")) == "0 2 * * * (At 02:00 every day)"
    row = every(policy, 6, "hours", "2026-12-01T00:00", "2027-01-01T12:30")
    assert outlook.in_words(row) == "every 6 hours from 2026-12-01 00:00, until 2027-01-01 12:30"
    row.every_number, row.every_unit, row.ending = 1, "months", ""
    assert outlook.in_words(row) == "every month from 2026-12-01 00:00"


def test_show_policy_prints_json_with_the_next_five_times(policy: Policy) -> None:
    policies.save(
        policy, [schedule(policy, timezone="Europe/Berlin", disabled=["sat 00:00-24:00"])]
    )
    run = factories.RunFactory.create(
        policy=policy, state=State.FAILED, ended_at=NOON, retry_at=NOON, attempt=2
    )
    Policy.objects.update(last_run=run, retry_count=3, may_be_frozen_since=NOON)

    report = json.loads(shown("--json"))

    assert list(report) == [
        "policy", "enabled", "success_requires", "rpo_hours", "retries", "max_freeze_seconds",
        "snapshot_timeout_hours", "thaw_retry_minutes", "scripts", "retention", "proof",
        "account", "targets", "schedules",
        "next_run_times", "next_run_note", "last_run", "last_success_at", "may_be_frozen_since",
        "paused", "missing",
    ]  # fmt: skip
    assert (report["policy"], report["enabled"], report["account"]) == (
        "alice/policy1",
        True,
        "lab",
    )
    assert report["targets"][0]["instance"] == "i-01234567"
    assert report["schedules"] == [
        {
            "name": "nightly",
            "when": "0 2 * * * (At 02:00 every day)",
            "timezone": "Europe/Berlin",
            "disabled": ["sat 00:00-24:00"],
        }
    ]
    assert report["retries"] == {"count": 3, "minutes": 10}
    assert report["next_run_times"] == [
        f"2026-{day}T01:00:00.000000+00:00" for day in ("11-27", "11-29", "11-30", "12-01", "12-02")
    ]
    assert report["last_run"]["id"] == str(run.pk)
    assert (report["last_run"]["state"], report["last_run"]["attempt"]) == ("failed", 2)
    assert report["last_run"]["retry_at"] == "2026-11-26T12:00:00.000000+00:00"
    assert report["may_be_frozen_since"] == "2026-11-26T12:00:00.000000+00:00"


def test_show_policy_tells_a_person_the_same(policy: Policy) -> None:
    assert "next         none. It follows no schedule." in shown()
    policies.save(policy, [schedule(policy)])
    Policy.objects.update(may_be_frozen_since=NOON)

    said = shown()

    assert said.count("next         2026-") == 5
    for line in (
        "policy       alice/policy1",
        "target       i-01234567 in us-east-1",
        "schedule     nightly: 0 2 * * * (At 02:00 every day), UTC",
        "FROZEN       may be frozen since 2026-11-26T12:00:00.000000+00:00",
    ):
        assert line in said, line


def test_show_policy_shows_no_secret_and_needs_none(policy: Policy, settings: Settings) -> None:
    settings.N2W_ENCRYPTION_KEYS = ["A" * 43 + "="]

    said = shown("--json") + shown()

    assert factories.SECRET_ACCESS_KEY not in said
    assert factories.ACCESS_KEY_ID not in said


def test_show_policy_knows_no_policy_that_is_not_there(policy: Policy) -> None:
    with pytest.raises(CommandError, match="There is no policy alice/other"):
        call_command("show_policy", "alice/other")


def test_a_time_zone_that_this_machine_does_not_know_is_named(policy: Policy) -> None:
    policies.save(policy, [schedule(policy)])
    Schedule.objects.update(timezone="Europe/Atlantis")

    ahead = outlook.of_policy(policy)

    assert (ahead.times, ahead.why) == ((), WhyNone.UNKNOWN_ZONE)
    assert "'Europe/Atlantis' is not a time zone" in ahead.note
