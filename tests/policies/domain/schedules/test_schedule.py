"""When something is due: both edges of summer time, the ends of months, several schedules, disabled times."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from policies.domain.schedules import disabled, schedule
from policies.domain.schedules.schedule import Every, Rule, Unit
from policies.domain.schedules.schedule import parse_wall as wall
from tests.ground.properties import given, st

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NIGHTLY = Rule(BERLIN, cron="0 2 * * *")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def walls(rule: Rule, after: datetime, number: int) -> list[str]:
    moments = islice(schedule.due_after(rule, after), number)
    return [f"{at.astimezone(rule.zone):%m-%d %H:%M}" for at in moments]


def test_what_falls_into_the_hour_that_does_not_exist_is_due_right_after_it() -> None:
    rule = Rule(BERLIN, every=Every(1, Unit.DAYS, wall("2026-03-01T02:30")))

    assert walls(rule, utc("2026-03-27T12:00"), 3) == ["03-28 02:30", "03-29 03:00", "03-30 02:30"]


def test_what_falls_into_the_hour_that_comes_twice_is_due_once() -> None:
    rule = Rule(BERLIN, cron="30 2 * * *")

    moments = list(islice(schedule.due_after(rule, utc("2026-10-24T12:00")), 2))

    assert moments == [utc("2026-10-25T00:30"), utc("2026-10-26T01:30")]


def test_a_search_that_begins_in_the_second_of_the_two_hours_does_not_go_back() -> None:
    rule = Rule(BERLIN, cron="45 2 * * *")

    assert next(schedule.due_after(rule, utc("2026-10-25T01:30"))) == utc("2026-10-26T01:45")


def test_two_times_that_fall_on_one_moment_are_due_once() -> None:
    rule = Rule(BERLIN, cron="0 2,3 * * *")

    assert walls(rule, utc("2026-03-28T12:00"), 2) == ["03-29 03:00", "03-30 02:00"]


def test_hours_pass_as_they_pass() -> None:
    rule = Rule(BERLIN, every=Every(6, Unit.HOURS, wall("2026-03-28T00:00")))

    assert walls(rule, utc("2026-03-28T20:00"), 3) == ["03-29 00:00", "03-29 07:00", "03-29 13:00"]


def test_a_month_s_end_is_clamped_and_does_not_drift() -> None:
    rule = Rule(BERLIN, every=Every(1, Unit.MONTHS, wall("2026-01-31T04:00")))

    expected = ["01-31 04:00", "02-28 04:00", "03-31 04:00", "04-30 04:00", "05-31 04:00"]
    assert walls(rule, NEW_YEAR, 5) == expected


def test_the_start_is_the_first_time_and_nothing_is_due_before() -> None:
    start = wall("2026-06-01T12:00")

    for unit in Unit:
        assert walls(Rule(BERLIN, every=Every(1, unit, start)), NEW_YEAR, 1) == ["06-01 12:00"]


def test_the_end_is_the_last_time() -> None:
    rule = Rule(BERLIN, cron="0 2 * * *", ending=wall("2026-01-03T02:00"))

    assert walls(rule, NEW_YEAR, 9) == ["01-01 02:00", "01-02 02:00", "01-03 02:00"]


def test_the_calendar_s_end_is_no_trouble() -> None:
    rule = Rule(BERLIN, every=Every(120, Unit.MONTHS, wall("2099-01-31T02:00")))

    assert len(list(schedule.due_after(rule, NEW_YEAR))) == 11


def test_schedules_that_are_due_in_one_minute_are_due_once_together() -> None:
    rules = {"nightly": NIGHTLY, "weekly": Rule(BERLIN, cron="0 2 * * sun")}

    found = list(islice(schedule.due(rules, utc("2026-01-03T00:00")), 3))

    assert [one.names for one in found] == [("nightly",), ("nightly", "weekly"), ("nightly",)]
    assert found[1].at - found[0].at == timedelta(days=1)


@pytest.fixture
def weekend() -> Rule:
    times = (disabled.parse("sat sun 00:00-24:00"),)
    return Rule(BERLIN, cron="0 2 * * *", disabled=times)


def test_what_is_disabled_is_due_by_nobody_and_says_why(weekend: Rule) -> None:
    found = list(islice(schedule.due({"nightly": weekend}, utc("2026-01-02T12:00")), 3))

    assert [one.names for one in found] == [(), (), ("nightly",)]
    assert found[0].disabled == ("nightly: sat sun 00:00-24:00",)
    assert found[2].disabled == ()


def test_a_schedule_that_is_free_is_due_where_another_is_disabled(weekend: Rule) -> None:
    rules = {"nightly": weekend, "weekly": Rule(BERLIN, cron="0 2 * * sat")}

    found = next(schedule.due(rules, utc("2026-01-02T12:00")))

    assert (found.names, found.disabled) == (("weekly",), ())


def test_what_comes_next_leaves_out_what_is_disabled(weekend: Rule) -> None:
    found = schedule.upcoming({"nightly": weekend}, utc("2026-01-02T12:00"), 2)

    assert [f"{at.astimezone(BERLIN):%a %H:%M}" for at in found] == ["Mon 02:00", "Tue 02:00"]


def test_a_schedule_that_is_always_disabled_has_nothing_to_come() -> None:
    always = Rule(BERLIN, cron="* * * * *", disabled=(disabled.parse("00:00-24:00"),))

    assert schedule.upcoming({"never": always}, NEW_YEAR, 5) == []


def test_no_schedule_is_never_due() -> None:
    assert list(schedule.due({}, NEW_YEAR)) == []
    assert schedule.held({}, NEW_YEAR) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has 0 fields but needs 5"),
        ("0 2 * *", "has 4 fields"),
        ("0 0 2 * * *", "has 6 fields"),
        ("daily", "has 1 fields"),
        ("61 2 * * *", "is not a cron expression (Bad minute)"),
        ("0 2 * * monday", "is not a cron expression (Bad day-of-week)"),
        ("0 2 30 2 *", "is not a cron expression (Bad day-of-month)"),
        ("0 2 31 4,6 *", "is not a cron expression"),
        ("0 2 * * mon#6", "is not a cron expression"),
    ],
)
def test_a_cron_expression_that_is_none_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"such as 0 2|correct the") as error:
        schedule.check_cron(text)

    assert told in str(error.value)


@given(st.text(alphabet="0123456789*/-,#LWmonMON ²٣", max_size=20))
def test_any_text_is_a_cron_expression_or_told(text: str) -> None:
    with suppress(ValueError):
        schedule.check_cron(text)
        assert next(schedule.due_after(Rule(UTC, cron=text), NEW_YEAR), None) is not None


@pytest.mark.parametrize("text", ["", "2026-12-01", "2026-13-01T00:00", "1999-12-31T23:59", "now"])
def test_a_wall_clock_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date and time from 2000 to 2199"):
        schedule.parse_wall(text)


@pytest.mark.parametrize(
    ("line", "held", "free"),
    [
        (
            "sat sun 08:00-18:00",
            ["sat 08:00", "sun 17:59"],
            ["sat 07:59", "sun 18:00", "mon 09:00"],
        ),
        ("08:00-18:00", ["mon 08:00", "sun 17:59"], ["mon 07:59", "tue 18:00"]),
        ("fri 22:00-06:00", ["fri 22:00", "sat 05:59"], ["fri 05:00", "sat 06:00", "sat 23:00"]),
        ("sun 22:00-06:00", ["sun 23:00", "mon 05:59"], ["mon 22:00", "sun 05:59"]),
        ("sat 00:00-24:00", ["sat 00:00", "sat 23:59"], ["fri 23:59", "sun 00:00"]),
        ("20:00-24:00", ["mon 20:00", "mon 23:59"], ["mon 00:00", "mon 19:59"]),
    ],
)
def test_a_disabled_time_holds_from_its_beginning_up_to_its_end(
    line: str, held: list[str], free: list[str]
) -> None:
    time = disabled.parse(line)

    assert str(time) == line
    assert [text for text in held + free if time.holds(shown(text))] == held


def shown(text: str) -> datetime:
    day, clock = text.split()
    return wall(f"2026-06-{1 + disabled.DAYS.index(day):02}T{clock}")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "is not a disabled time"),
        ("sat", "is not a disabled time"),
        ("saturday 08:00-18:00", "'saturday' is not a day of the week"),
        ("sat 8-18", "'8' is not a time of day"),
        ("sat 08:00-25:00", "'25:00' is not a time of day"),
        ("sat 08:00-24:30", "'24:30' is not a time of day"),
        ("sat 08:00-08:00", "is an empty span: write 00:00 to 24:00"),
        ("sat 24:00-08:00", "cannot begin at 24:00"),
    ],
)
def test_a_disabled_time_that_is_none_is_told(line: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"write|the days are") as error:
        disabled.parse(line)

    assert told in str(error.value)


@pytest.mark.parametrize("cron", ["0 2 1 1 *", "0 2 * * *"])
def test_a_schedule_that_is_always_disabled_has_no_next_times_and_says_so_at_once(
    cron: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []
    real = schedule.disabled_at

    def watched(rule: Rule, moment: datetime) -> disabled.DisabledTime | None:
        asked.append(moment)
        return real(rule, moment)

    monkeypatch.setattr(schedule, "disabled_at", watched)
    rule = Rule(ZoneInfo("Europe/Berlin"), cron, disabled=(disabled.make((), "00:00", "08:00"),))

    assert schedule.upcoming({"nightly": rule}, utc("2026-06-01T12:00"), 5) == []
    assert len(asked) < 5_000
