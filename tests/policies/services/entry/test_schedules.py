"""The rules of schedules: each mistake is reported at its field, and nothing is changed."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from policies.domain.errors import RefusedError
from policies.models import Policy, Schedule
from policies.services.entry import policies, schedules
from scripts_admin.models import User
from tests import factories

EVERY: dict[str, object] = {
    "every_number": 6,
    "every_unit": "hours",
    "starting": "2026-12-01T00:00",
}


@pytest.fixture
def alice(db: None) -> User:
    return factories.alice()


def schedule(owner: User, **columns: object) -> Schedule:
    return Schedule(**{"owner": owner, "name": "nightly", "cron": "0 2 * * *", **columns})


def every(owner: User, **columns: object) -> Schedule:
    return schedule(owner, **{"cron": "", **EVERY, **columns})


def test_a_schedule_by_cron_and_one_that_counts_are_saved(alice: User) -> None:
    schedules.save(
        schedule(
            alice, timezone="Europe/Berlin", disabled=["sun,sat  8:00-18:00".replace(" 8", "08")]
        )
    )
    schedules.save(every(alice, name="often", ending="2027-01-01T00:00"))

    assert Schedule.objects.get(name="nightly").disabled == ["sat sun 08:00-18:00"]
    assert Schedule.objects.count() == 2


@pytest.mark.parametrize(
    ("columns", "field", "told"),
    [
        ({"name": ""}, "name", "visible text"),
        ({"name": "a/b"}, "name", "without '/'"),
        ({"name": "x" * 65}, "name", "at most 64 characters"),
        ({"cron": "0 2 * *"}, "cron", "has 4 fields"),
        ({"cron": ""}, "cron", "must say when"),
        ({"starting": "2026-12-01T00:00"}, "starting", "either cron, or every"),
        ({"every_number": 2}, "every_number", "either cron, or every"),
        ({"timezone": "europe/berlin"}, "timezone", "did you mean Europe/Berlin?"),
        ({"timezone": "../../etc/passwd"}, "timezone", "is not a time zone"),
        ({"timezone": ""}, "timezone", "is not a time zone"),
        ({"ending": "tomorrow"}, "ending", "is not a date and time"),
        ({"disabled": ["sat"]}, "disabled", "is not a disabled time"),
        ({"disabled": ["08:00-09:00"] * 51}, "disabled", "a list of at most 50"),
        ({"disabled": "sat"}, "disabled", "a list of at most 50"),
    ],
)
def test_what_cannot_be_is_told_at_its_field(
    alice: User, columns: dict[str, object], field: str, told: str
) -> None:
    with pytest.raises(ValidationError) as error:
        schedules.save(schedule(alice, **columns))

    assert list(error.value.message_dict) == [field]
    assert told in error.value.message_dict[field][0]
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("columns", "field", "told"),
    [
        ({"every_number": 0}, "every_number", "from 1 to 8784 hours"),
        ({"every_number": 8785}, "every_number", "from 1 to 8784 hours"),
        ({"every_number": None}, "every_number", "from 1 to 8784 hours"),
        ({"every_unit": "years"}, "every_unit", "the units are minutes, hours"),
        ({"starting": ""}, "starting", "write starting"),
        ({"starting": "soon"}, "starting", "is not a date and time"),
        ({"ending": "2026-11-30T00:00"}, "ending", "before it starts"),
    ],
)
def test_what_cannot_be_counted_is_told_at_its_field(
    alice: User, columns: dict[str, object], field: str, told: str
) -> None:
    with pytest.raises(ValidationError) as error:
        schedules.save(every(alice, **columns))

    assert list(error.value.message_dict) == [field]
    assert told in error.value.message_dict[field][0]
    assert not Schedule.objects.exists()


def test_a_name_is_an_owner_s_once_whatever_its_case(alice: User) -> None:
    schedules.save(schedule(alice))

    with pytest.raises(ValidationError, match="alice already has a schedule Nightly"):
        schedules.save(schedule(alice, name="Nightly"))
    schedules.save(schedule(factories.charlie()))

    assert Schedule.objects.count() == 2


def test_a_schedule_keeps_its_owner(alice: User) -> None:
    row = schedule(alice)
    schedules.save(row)
    row.owner = factories.charlie()

    with pytest.raises(ValidationError, match="cannot change its owner"):
        schedules.save(row)

    row.refresh_from_db()
    assert row.owner == alice


def test_the_database_itself_wants_one_way_to_say_when(alice: User) -> None:
    for columns in ({"cron": ""}, EVERY, {**EVERY, "cron": "", "starting": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            schedule(alice, **columns).save()


@pytest.fixture
def policy(alice: User) -> Policy:
    return factories.PolicyFactory.create(owner=alice, name="policy1")


def test_a_schedule_that_policies_follow_is_not_deleted(policy: Policy) -> None:
    row = schedule(policy.owner)
    schedules.save(row)
    policies.save(policy, [row])

    with pytest.raises(RefusedError, match="policies follow it: policy1"):
        schedules.delete(row)
    assert list(policy.schedules.all()) == [row]

    policies.save(policy, [])
    schedules.delete(row)
    assert not Schedule.objects.exists()


def test_a_policy_follows_only_its_owner_s_schedules(policy: Policy) -> None:
    strange = schedule(factories.charlie())
    schedules.save(strange)
    policy.enabled = False

    with pytest.raises(ValidationError, match="alice has no schedule nightly"):
        policies.save(policy, [strange])

    policy.refresh_from_db()
    assert policy.enabled
    assert not policy.schedules.exists()


def test_a_policy_follows_so_many_schedules_and_no_more(policy: Policy) -> None:
    rows = [schedule(policy.owner, name=f"s{number}") for number in range(21)]
    for row in rows:
        schedules.save(row)

    with pytest.raises(
        ValidationError, match="A policy can follow 20 schedules at most, and this one has 21"
    ):
        policies.save(policy, rows)
    assert not policy.schedules.exists()

    policies.save(policy, rows[:20])
    assert policy.schedules.count() == 20


def test_a_new_policy_is_due_from_its_first_moment(alice: User) -> None:
    row = schedule(alice)
    schedules.save(row)
    made = Policy(owner=alice, account=factories.AccountFactory.create(owner=alice), name="new")

    policies.save(made, [row])

    made.refresh_from_db()
    assert made.next_run_at is not None
