"""Quiet hours and mutes: what may wait waits, and what may be frozen never does."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from policies.domain.alarms import quiet
from policies.domain.alarms.messages import AlarmKind
from policies.domain.alarms.quiet import LONGEST_MUTE, LONGEST_QUIET, QuietHours
from policies.domain.schedules.disabled import DAY_MINUTES, DisabledTime
from tests.ground.properties import given, st

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001 - made aware below
    lambda at: at.replace(tzinfo=UTC)
)
SPANS = st.builds(
    DisabledTime,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, DAY_MINUTES - 1),
    st.integers(0, DAY_MINUTES),
).filter(lambda span: span.begins != span.ends)
HOURS = st.builds(
    QuietHours, st.lists(SPANS, max_size=4).map(tuple), st.sampled_from(ZONES).map(ZoneInfo)
)
MUTES = st.none() | MOMENTS


@given(MOMENTS, st.none() | HOURS, MUTES, st.booleans())
def test_what_may_be_frozen_is_never_held_back(
    now: datetime, hours: QuietHours | None, mute: datetime | None, ends: bool
) -> None:
    held = quiet.held_until(
        AlarmKind.MAY_BE_FROZEN, now, quiet=hours, muted_until=mute, ends_a_freeze=ends
    )

    assert held is None


@given(MOMENTS, st.sampled_from(AlarmKind), st.none() | HOURS, MUTES)
def test_the_end_of_a_freeze_is_never_held_back(
    now: datetime, kind: AlarmKind, hours: QuietHours | None, mute: datetime | None
) -> None:
    assert quiet.held_until(kind, now, quiet=hours, muted_until=mute, ends_a_freeze=True) is None


@given(MOMENTS, st.sampled_from(AlarmKind), st.none() | HOURS, MUTES)
def test_nothing_is_held_back_for_ever(
    now: datetime, kind: AlarmKind, hours: QuietHours | None, mute: datetime | None
) -> None:
    held = quiet.held_until(kind, now, quiet=hours, muted_until=mute)

    longest = max(LONGEST_QUIET, LONGEST_MUTE) + timedelta(minutes=1)
    assert held is None or now < held <= now + longest


@given(MOMENTS, HOURS)
def test_quiet_ends_where_it_is_no_longer_quiet(now: datetime, hours: QuietHours) -> None:
    until = hours.until(now)

    assert (until is None) == (not hours.holds(now))
    if until is not None and until < now + LONGEST_QUIET:
        assert not hours.holds(until)
        assert hours.holds(until - timedelta(minutes=1)) or until - timedelta(minutes=1) < now


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-29T00:30+00:00", "2026-03-29T04:00+00:00"),  # 01:30 to 06:00, without an hour
        ("2026-10-25T00:30+00:00", "2026-10-25T05:00+00:00"),  # and with one more
    ],
)
def test_a_night_is_as_long_as_the_clocks_of_the_zone_say(now: str, until: str) -> None:
    night = QuietHours(quiet.parse(["22:00-06:00"]), ZoneInfo("Europe/Berlin"))

    assert night.until(datetime.fromisoformat(now)) == datetime.fromisoformat(until)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["00:00-24:00"], "fill the whole week"),
        (["00:00-12:00", "12:00-24:00"], "fill the whole week"),
        (["at night"], "is not a disabled time"),
        (["mon 22:00-06:00"] * 21, "at most 20"),
    ],
)
def test_quiet_hours_that_cannot_be_are_refused(lines: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        quiet.parse(lines)
