"""What is suggested to somebody who wrote no time zone, and to who wrote another system's schedule."""

from zoneinfo import available_timezones

import pytest

from policies.domain.schedules import foreign, schedule, zones

KNOWN = available_timezones()


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("CEST", "Europe/Berlin"),
        ("cest", "Europe/Berlin"),
        ("MESZ", "Europe/Berlin"),
        ("EDT", "America/New_York"),
        ("PST", "America/Los_Angeles"),
        ("IST", "Asia/Kolkata"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Eastern Daylight Time", "America/New_York"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Europe/Berln", "Europe/Berlin"),
    ],
)
def test_a_place_is_suggested(given: str, place: str) -> None:
    assert zones.advice(given, KNOWN).startswith(f"did you mean {place}?")
    assert place in KNOWN


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "GMT+2",
            "write Etc/GMT-2 for 2 hours ahead of UTC all year (in Etc/… the sign is turned round)",
        ),
        ("UTC+02:00", "write Etc/GMT-2 for 2 hours ahead of UTC"),
        ("+2", "write Etc/GMT-2 for 2 hours ahead of UTC"),
        ("UTC-5", "write Etc/GMT+5 for 5 hours behind UTC"),
        ("+05:30", "write a place that has it, such as Asia/Kolkata."),
        ("GMT+20", "no zone has the offset +20:00 at all times"),
        ("UTC+00:00", "write UTC."),
        ("Z", "write UTC."),
        ("nowhere at all", "write one such as Europe/Berlin or UTC."),
    ],
)
def test_an_offset_is_explained(given: str, words: str) -> None:
    assert words in zones.advice(given, KNOWN)


def test_every_suggested_zone_exists() -> None:
    places = {*zones._PLACES, *zones._WINDOWS.values(), *zones._PARTS_OF_HOURS.values()}

    assert places - KNOWN == set()


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("cron(0 2 * * ? *)", "write 0 2 * * * here, with timezone: UTC."),
        ("cron(0 2 ? * MON-FRI *)", "write 0 2 * * MON-FRI here"),
        ("cron(0 2 ? * 2-6 *)", "write 0 2 * * 1-5 here"),
        ("0 2 * * ? *", "write 0 2 * * * here"),
        ("cron(0/15 8 1 * ? *)", "write */15 8 1 * * here"),
        ("cron(0 2 L * ? *)", "cannot be written here: use five fields"),
        ("cron(0 2 ? * 6#3 *)", "cannot be written here: use five fields"),
        ("cron(0 2 * * ? 2027)", "cannot be written here: use five fields"),
        ("rate(12 hours)", "write every: {hours: 12} and starting in place of cron."),
        ("rate(1 day)", "write every: {days: 1} and starting"),
        ("@daily", "write 0 0 * * *."),
    ],
)
def test_another_systems_schedule_is_translated(given: str, ours: str) -> None:
    with pytest.raises(ValueError, match="is ") as caught:
        schedule.check_cron(given)

    assert ours in str(caught.value)


def test_ours_is_no_other_systems() -> None:
    assert foreign.advice("0 2 * * 1-5") == ""
