"""Schedules, retries and the schedules of policies as code; each mistake is reported once and at its place."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from pytest_django import Settings

from policies.models import Policy, Run, Schedule
from policies.services.document import applying
from policies.services.document.applying import Change, MistakesError
from scripts_admin.models import User

DOCUMENT = """\
users: [{name: alice}]
accounts: [{owner: alice, name: lab, auth: keys, access_key_id: AKIAX, secret_access_key_env: LAB}]
schedules:
  - owner: alice
    name: nightly
    cron: "0 2 * * *"
    timezone: Europe/Berlin
    disabled: [{days: [sat, sun], from: "08:00", to: "18:00"}, {days: [mon]}]
  - {owner: alice, name: often, every: {hours: 6}, starting: 2026-12-01T00:00, ending: 2027-12-01T00:00}
policies:
  - owner: alice
    name: policy1
    account: lab
    schedules: [nightly, often]
    retries: {count: 2, minutes: 5}
    snapshot_timeout_hours: 24
    thaw_retry_minutes: 30
    targets: [{volume: vol-0123456789abcdef0, region: us-east-1}]
"""
ENVIRONMENT = {"LAB": "wJalrXUtnFEMI"}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: Path) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2026, 11, 30, 12, tzinfo=UTC), tick=False) as traveller:
        yield traveller


def apply(text: str = DOCUMENT, *, dry_run: bool = False) -> list[Change]:
    return applying.apply(text, ENVIRONMENT, dry_run=dry_run)


def rows() -> list[Any]:
    models: list[Any] = [User, Schedule, Policy, Policy.schedules.through, Run]
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_schedules_and_who_follows_them_are_made_as_the_document_says() -> None:
    assert [change.action for change in apply()] == ["created"] * 5

    nightly, often = Schedule.objects.order_by("name")
    assert (nightly.cron, nightly.timezone) == ("0 2 * * *", "Europe/Berlin")
    assert nightly.disabled == ["sat sun 08:00-18:00", "mon 00:00-24:00"]
    assert (often.every_number, often.every_unit) == (6, "hours")
    assert (often.starting, often.ending) == ("2026-12-01T00:00", "2027-12-01T00:00")
    policy = Policy.objects.get()
    assert set(policy.schedules.all()) == {nightly, often}
    assert (policy.retry_count, policy.retry_minutes) == (2, 5)
    assert (policy.snapshot_timeout_hours, policy.thaw_retry_minutes) == (24, 30)
    assert policy.next_run_at == datetime(2026, 12, 1, 0, tzinfo=UTC)


def test_applied_twice_it_changes_nothing() -> None:
    apply()
    before = rows()

    assert {change.action for change in apply()} == {"unchanged"}
    assert rows() == before


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ('"0 2 * * *"', '"0 3 * * *"', {"cron": "0 2 * * * → 0 3 * * *"}),
        ("hours: 6", "days: 1", {"every": "6 hours → 1 days"}),
        (
            "starting: 2026-12-01",
            "starting: 2026-12-02",
            {"starting": "2026-12-01T00:00 → 2026-12-02T00:00"},
        ),
        (
            ", {days: [mon]}",
            "",
            {"disabled": "sat sun 08:00-18:00, mon 00:00-24:00 → sat sun 08:00-18:00"},
        ),
        ("[nightly, often]", "[often]", {"schedules": "nightly, often → often"}),
        ("[nightly, often]", "[]", {"schedules": 'nightly, often → ""'}),
        ("count: 2", "count: 0", {"retries.count": "2 → 0"}),
        ("thaw_retry_minutes: 30", "thaw_retry_minutes: 60", {"thaw_retry_minutes": "30 → 60"}),
    ],
)
def test_a_dry_run_prints_the_difference_and_changes_nothing(
    old: str, new: str, fields: dict[str, str]
) -> None:
    apply()
    before = rows()
    assert old in DOCUMENT
    text = DOCUMENT.replace(old, new, 1)

    told = [dict(change.fields) for change in apply(text, dry_run=True) if change.fields]

    assert told == [fields]
    assert rows() == before
    apply(text)
    assert rows() != before
    assert {change.action for change in apply(text)} == {"unchanged"}


def test_a_schedule_goes_from_cron_to_every_and_back() -> None:
    apply()
    counting = "every: {days: 1}, starting: 2026-12-01T02:00"

    apply(f"schedules: [{{owner: alice, name: nightly, {counting}}}]")
    assert Schedule.objects.get(name="nightly").cron == ""
    apply('schedules: [{owner: alice, name: nightly, cron: "0 2 * * *"}]')

    row = Schedule.objects.get(name="nightly")
    assert (row.cron, row.every_number, row.every_unit, row.starting) == ("0 2 * * *", None, "", "")
    assert row.timezone == "Europe/Berlin"


def test_a_policy_that_names_no_schedules_keeps_those_it_has() -> None:
    apply()

    apply("policies: [{owner: alice, name: policy1, retries: {count: 1}}]")

    policy = Policy.objects.get()
    assert policy.schedules.count() == 2
    assert (policy.retry_count, policy.retry_minutes) == (1, 5)


def test_what_was_due_is_accounted_for_before_a_schedule_changes(
    clock: time_machine.Traveller,
) -> None:
    apply()
    clock.move_to(datetime(2026, 12, 1, 0, 0, 30, tzinfo=UTC))

    apply(DOCUMENT.replace("hours: 6", "days: 1"))

    assert Run.objects.get().scheduled_for == datetime(2026, 12, 1, tzinfo=UTC)


MISTAKES = [
    ('"0 2 * * *"', '»"0 2 * *"', "schedules[0].cron: '0 2 * *' has 4 fields"),
    ('"0 2 * * *"', "»5", "schedules[0].cron: This must be text, not a number"),
    ("Europe/Berlin", "»Berlin", "schedules[0].timezone: 'Berlin' is not a time zone: did you"),
    ("[sat, sun]", "[sat, sonntag]", "schedules[0].disabled[0]: 'sonntag' is not a day"),
    (
        'to: "18:00"',
        'to: "08:00"',
        "schedules[0].disabled[0]: From 08:00 to 08:00 is an empty span",
    ),
    ('to: "18:00"', "»until: 18:00", "schedules[0].disabled[0].until: until is not known here"),
    ("{hours: 6}", "»{hours: 6, days: 1}", "schedules[1].every: every takes exactly one unit"),
    ("{hours: 6}", "»{}", "schedules[1].every: every takes exactly one unit"),
    ("{hours: 6}", "{»years: 6}", "schedules[1].every.years: years is not known here"),
    ("{hours: 6}", "{hours: »six}", "schedules[1].every.hours: This must be a whole number"),
    (
        "{hours: 6}",
        "»{hours: 9000}",
        "schedules[1].every: This is 9000 but must be from 1 to",
    ),
    ("{hours: 6}", "»6", "schedules[1].every: This must be a mapping"),
    (
        "starting: 2026-12-01T00:00",
        "starting: »2026-12-01",
        "schedules[1].starting: '2026-12-01' is no",
    ),
    ("starting: 2026-12-01T00:00, ", "", "schedules[1].starting: every needs a first time"),
    ("ending: 2027-12-01", "ending: »2025-12-01", "schedules[1].ending: The schedule ends"),
    (
        "[nightly, often]",
        "[nightly, »seldom]",
        "policies[0].schedules[1]: alice has no schedule seldom",
    ),
    ("[nightly, often]", "»nightly", "policies[0].schedules: This must be a list"),
    (
        "count: 2",
        "count: »11",
        "policies[0].retries.count: This is 11 but must be from 0 to 10",
    ),
    (
        "minutes: 5",
        "minutes: »0",
        "policies[0].retries.minutes: This is 0 but must be from 1",
    ),
    ("minutes: 5", "»hours: 5", "policies[0].retries.hours: hours is not known here"),
    (
        "name: often",
        "name: »Nightly",
        "schedules[1].name: The schedule alice/Nightly appears twice",
    ),
]


@pytest.mark.parametrize(("old", "new", "told"), MISTAKES)
def test_one_mistake_is_told_once_and_where_it_stands(old: str, new: str, told: str) -> None:
    assert old in DOCUMENT
    text = DOCUMENT.replace(old, new, 1)
    if "Nightly" in new:
        text = text.replace("[nightly, often]", "[nightly]")
    before, _, behind = text.partition("»")
    state = rows()

    with pytest.raises(MistakesError) as caught:
        apply(before + behind)

    ((place, sentence),) = caught.value.mistakes
    assert f"{place.field}: {sentence}".startswith(told)
    assert rows() == state
    if behind:
        line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
        assert (place.line, place.column) == (line, column)


def test_what_is_wrong_in_one_place_is_not_told_again_where_it_is_named() -> None:
    text = DOCUMENT.replace('"0 2 * * *"', '"0 2 * *"')

    with pytest.raises(MistakesError) as caught:
        apply(text)

    assert [place.field for place, _ in caught.value.mistakes] == ["schedules[0].cron"]
