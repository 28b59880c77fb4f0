"""Due times that have passed: each is run, skipped or missed, exactly once."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest

from policies.domain.schedules import disabled, reckoning, schedule
from policies.domain.schedules.reckoning import LATE, Reckoning, Span
from policies.domain.schedules.schedule import Rule
from tests.ground.properties import given, settings, st

HOURLY = {"hourly": Rule(UTC, cron="0 * * * *")}
QUARTERS = {"quarters": Rule(UTC, cron="*/15 * * * *")}


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-06-01T{text}").replace(tzinfo=UTC)


def test_what_is_due_is_run() -> None:
    found = reckoning.reckon(HOURLY, at("02:00"), at("02:00:01"))

    assert found.run is not None
    assert (found.run.at, found.run.names) == (at("02:00"), ("hourly",))
    assert (found.next_at, found.missed, found.skipped) == (at("03:00"), None, None)


def test_after_an_outage_the_newest_is_run_and_the_others_were_missed() -> None:
    found = reckoning.reckon(HOURLY, at("02:00"), at("06:59:59"))

    assert found.run is not None
    assert found.run.at == at("06:00")
    assert found.missed == Span(at("02:00"), at("05:00"), 4)
    assert found.next_at == at("07:00")


def test_what_is_an_hour_late_is_missed() -> None:
    daily = {"daily": Rule(UTC, cron="0 2 * * *")}

    late = reckoning.reckon(daily, at("02:00"), at("03:00"))
    in_time = reckoning.reckon(daily, at("02:00"), at("02:59:59"))

    assert (late.run, late.missed) == (None, Span(at("02:00"), at("02:00"), 1))
    assert in_time.run is not None
    assert in_time.missed is None


@pytest.fixture
def by_day() -> dict[str, Rule]:
    times = (disabled.parse("08:00-18:00"),)
    return {"quarters": Rule(UTC, cron="*/15 * * * *", disabled=times)}


def test_what_is_due_in_a_disabled_time_is_skipped(by_day: dict[str, Rule]) -> None:
    found = reckoning.reckon(by_day, at("08:00"), at("08:00:01"))

    assert (found.run, found.missed) == (None, None)
    assert found.skipped == Span(at("08:00"), at("08:00"), 1)
    assert found.disabled == ("quarters: 08:00-18:00",)


def test_what_is_late_is_not_made_good_in_a_disabled_time(by_day: dict[str, Rule]) -> None:
    found = reckoning.reckon(by_day, at("07:30"), at("08:20"))

    assert found.run is None
    assert found.missed == Span(at("07:30"), at("07:45"), 2)
    assert found.skipped == Span(at("08:00"), at("08:15"), 2)
    assert found.held == ("quarters: 08:00-18:00",)


def test_what_is_late_is_made_good_where_one_of_its_schedules_is_free_now(
    by_day: dict[str, Rule],
) -> None:
    late = reckoning.reckon(
        {**by_day, "once": Rule(UTC, cron="45 7 * * *")}, at("07:45"), at("08:10")
    )

    assert late.run is not None
    assert (late.run.at, late.held) == (at("07:45"), ())


def test_a_disabled_time_in_an_outage_is_not_missed(by_day: dict[str, Rule]) -> None:
    found = reckoning.reckon(by_day, at("07:45"), at("18:10"))

    assert found.run is not None
    assert found.run.at == at("18:00")
    assert found.missed == Span(at("07:45"), at("07:45"), 1)
    assert found.skipped == Span(at("08:00"), at("17:45"), 40)


def test_a_very_long_outage_is_reckoned_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reckoning, "AT_ONCE", 3)

    first = reckoning.reckon(QUARTERS, at("02:00"), at("02:50"))
    second = reckoning.reckon(QUARTERS, at("02:45"), at("02:50"))

    assert (first.run, first.missed) == (None, Span(at("02:00"), at("02:30"), 3))
    assert first.next_at == at("02:45")
    assert second.run is not None


def test_a_schedule_that_has_ended_has_no_next_time() -> None:
    ended = {"once": Rule(UTC, cron="0 2 * * *", ending=schedule.parse_wall("2026-06-01T02:00"))}

    assert reckoning.reckon(ended, at("02:00"), at("02:00:01")).next_at is None


RULES = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.builds(
        Rule,
        zone=st.just(UTC),
        cron=st.sampled_from(["*/20 * * * *", "0 */3 * * *", "30 2 * * *", "0 2 * * mon"]),
        disabled=st.sampled_from(
            [(), (disabled.parse("22:00-03:00"),), (disabled.parse("mon 02:00-02:10"),)]
        ),
    ),
    min_size=1,
)


@settings(max_examples=50)
@given(RULES, st.lists(st.integers(1, 4000), min_size=1, max_size=12))
def test_every_due_time_is_accounted_for_exactly_once(
    rules: dict[str, Rule], minutes: list[int]
) -> None:
    now = at("00:00")
    next_at = reckoning.following(rules, now)
    ran: list[datetime] = []
    told = 0
    for wait in minutes:
        now += timedelta(minutes=wait, seconds=1)
        while next_at is not None and next_at <= now:
            found: Reckoning = reckoning.reckon(rules, next_at, now)
            next_at = found.next_at
            ran += [found.run.at] if found.run else []
            told += sum(span.number for span in (found.missed, found.skipped) if span)
            assert found.run is None or now - found.run.at < LATE

    due = list(takewhile(lambda one: one.at <= now, schedule.due(rules, at("00:00"))))
    assert len(ran) + told == len(due)
    assert set(ran) <= {one.at for one in due if one.names}
    assert sorted(set(ran)) == ran
