"""What the plan decides, case by case, and how it says so."""

from datetime import UTC, date, datetime, timedelta

import pytest

from policies.domain.retention import plan as planning
from policies.domain.retention.plan import plan
from policies.domain.retention.points import Hold, HoldKind, Point, Verdict
from policies.domain.retention.rules import Rules
from policies.domain.runs.verdict import Consistency
from tests.policies.domain.retention.brute import APPLICATION, CRASH, NONE, every, point

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)  # a Sunday
TOLERANCE_DAYS = (
    8  # a rule may begin a week sooner or later, as days and weeks do not fit into months
)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NIGHTLY = every(DAY, 800, datetime(2026, 11, 29, 2, tzinfo=UTC))


def _kept(verdicts: list[Verdict]) -> list[str]:
    """Return what is kept, newest first, with the day and the reasons."""
    return [f"{v.point.at:%Y-%m-%d} {'; '.join(v.reasons)}" for v in verdicts if v.keep]


def _only(found: list[Point], rules: Rules, now: datetime = NOW) -> list[str]:
    return [v.point.key for v in plan(found, rules, [], now) if v.keep]


GOLDEN = [
    (Rules(keep_last=2), ["2026-11-29 last 1 of 2", "2026-11-28 last 2 of 2"]),
    (Rules(generations=2), ["2026-11-29 generation 1 of 2", "2026-11-28 generation 2 of 2"]),
    (
        Rules(keep_last=1, daily=2, weekly=2, monthly=2, yearly=1),
        [
            "2026-11-29 last 1 of 1",
            "2026-11-28 daily 1 of 2",
            "2026-11-27 daily 2 of 2",
            "2026-11-22 weekly 1 of 2",
            "2026-11-15 weekly 2 of 2",
            "2026-10-31 monthly 1 of 2",
            "2026-09-30 monthly 2 of 2",
            "2025-12-31 yearly 1 of 1",
        ],
    ),
    # November is covered by what daily keeps, and 2026 by what monthly keeps.
    (
        Rules(daily=1, monthly=1, yearly=1),
        ["2026-11-29 daily 1 of 1", "2026-10-31 monthly 1 of 1", "2025-12-31 yearly 1 of 1"],
    ),
    # The week of Sunday, 1 November, has October's last days. They are weekly's, and not the newest of October.
    (
        Rules(weekly=5, monthly=1),
        [
            *(
                f"2026-11-{day:02} weekly {place} of 5"
                for place, day in enumerate((29, 22, 15, 8, 1), 1)
            ),
            "2026-10-25 monthly 1 of 1",
        ],
    ),
]


@pytest.mark.parametrize(("rules", "expected"), GOLDEN)
def test_nightly_backups(rules: Rules, expected: list[str]) -> None:
    assert _kept(plan(NIGHTLY, rules, [], NOW)) == expected


def test_a_period_without_a_backup_does_not_count() -> None:
    found = [point(datetime(2026, month, 3, tzinfo=UTC)) for month in (1, 5, 11)]
    assert len(_only(found, Rules(daily=3))) == 3


def test_iso_weeks_cross_the_year() -> None:
    found = [point(datetime(2020, 12, day, 12, tzinfo=UTC), f"d{day}") for day in (27, 28, 31)]
    found += [point(datetime(2021, 1, day, 12, tzinfo=UTC), f"j{day}") for day in (2, 3, 4)]
    assert _only(found, Rules(weekly=3)) == ["j4", "j3", "d27"]


def test_days_are_those_of_the_policys_time_zone() -> None:
    late = point(datetime(2026, 6, 1, 21, 30, tzinfo=UTC), "late")  # 23:30 in Berlin
    later = point(datetime(2026, 6, 1, 22, 30, tzinfo=UTC), "later")  # 00:30 of the next day
    assert _only([late, later], Rules(daily=2)) == ["later"]
    assert _only([late, later], Rules(daily=2, timezone="Europe/Berlin")) == ["later", "late"]


def test_within_a_period_the_proven_one_goes_first_then_application_then_the_newest() -> None:
    crash = point(NOW - 10 * DAY, "crash", CRASH)
    application = point(NOW - 10 * DAY - HOUR, "application")
    proven = point(NOW - 10 * DAY - 2 * HOUR, "proven", CRASH, proven=True)
    newest = point(NOW - HOUR, "newest", proven=True)
    rules = Rules(keep_last=1, daily=1)
    assert _only([newest, crash, application, proven], rules) == ["newest", "proven"]
    assert _only([newest, crash, application], rules) == ["newest", "application"]
    assert _only([newest, crash], rules) == ["newest", "crash"]


def test_without_rules_everything_is_kept() -> None:
    verdicts = plan(NIGHTLY[:3], Rules(), [], NOW)
    assert {v.reasons for v in verdicts} == {(planning.KEEPS_ALL,)}
    assert {v.until for v in verdicts} == {None}


@pytest.mark.parametrize("why", ["the policy is disabled", "it may be frozen"])
def test_what_keeps_all_is_said_beside_the_rule(why: str) -> None:
    newest, old = plan(NIGHTLY[:2], Rules(keep_last=1), [], NOW, kept_by=why)
    assert newest.reasons == (why, "last 1 of 1")
    assert old.keep
    assert old.reasons == (why,)
    assert old.until is None


def test_the_last_of_each_target_stays() -> None:
    """The second instance has not been backed up for long: its last restore points are not those of the first."""
    both = point(NOW - 9 * DAY, "both", CRASH, ("i-1", "i-2"))
    once = point(NOW - 10 * DAY, "once", APPLICATION, ("i-1", "i-2"))
    older = point(NOW - 11 * DAY, "older", APPLICATION, ("i-1", "i-2"), proven=True)
    oldest = point(NOW - 12 * DAY, "oldest", APPLICATION, ("i-1", "i-2"), proven=True)
    found = [*every(DAY, 5, NOW), both, once, older, oldest]
    reasons = {v.point.key: v.reasons for v in plan(found, Rules(keep_last=1), [], NOW) if v.keep}
    assert reasons == {
        "r0": ("last 1 of 1",),
        "both": ("the last usable one of i-2",),
        "once": ("the last application-consistent one of i-2",),
        "older": ("the last proven one of i-1, i-2",),
    }


def test_a_held_one_stays_until_the_hold_ends() -> None:
    hold = Hold("r3", HoldKind.FREEZER, "audit of 2026", NOW + DAY, "alice")
    over = Hold("r4", HoldKind.FREEZER, "", NOW)
    kept = [v for v in plan(NIGHTLY[:6], Rules(keep_last=2), [hold, over], NOW) if v.keep]
    assert [v.point.key for v in kept] == ["r0", "r1", "r3"]
    assert kept[-1].reasons == ("held by alice (freezer): audit of 2026",)
    assert kept[-1].until == NOW + DAY


def test_a_hold_without_an_end_hides_when_the_rules_would_let_it_go() -> None:
    hold = Hold("r0", HoldKind.RECOVERY, "")
    newest = plan(NIGHTLY[:6], Rules(keep_last=2), [hold], NOW)[0]
    assert newest.reasons == ("last 1 of 2", "held (recovery)")
    assert newest.until is None


def test_one_of_the_future_stays_and_takes_no_place() -> None:
    ahead = point(NOW + 400 * DAY, "ahead")
    newest, *others = plan([ahead, *NIGHTLY[:3]], Rules(keep_last=1), [], NOW)
    assert newest.reasons == (planning.IN_THE_FUTURE,)
    assert [v.point.key for v in others if v.keep] == ["r0"]


def test_one_without_our_tag_stays() -> None:
    foreign = point(NOW - 9 * DAY, "foreign", ours=False)
    verdicts = plan([*NIGHTLY[:3], foreign], Rules(keep_last=1), [], NOW)
    assert verdicts[-1].reasons == (planning.NOT_OURS,)


def test_an_unusable_one_takes_no_place_and_stays_only_until_there_is_a_newer_one() -> None:
    found = [
        point(NOW - HOUR, "newest", NONE, ()),
        point(NOW - DAY, "good"),
        point(NOW - 2 * DAY, "broken", NONE, ()),
        point(NOW - 3 * DAY, "older"),
    ]
    verdicts = plan(found, Rules(keep_last=2), [], NOW)
    assert [(v.point.key, v.keep, *v.reasons) for v in verdicts] == [
        ("newest", True, planning.NO_BETTER),
        ("good", True, "last 1 of 2"),
        ("broken", False, planning.NOT_USABLE),
        ("older", True, "last 2 of 2"),
    ]


def test_what_goes_says_why() -> None:
    found = [*every(HOUR, 3, NOW), point(NOW - 9 * DAY, "old")]
    gone = [v for v in plan(found, Rules(daily=1), [], NOW) if not v.keep]
    assert [v.reasons for v in gone] == [
        ("another one of its day is kept",),
        ("another one of its day is kept",),
        (planning.TOO_OLD,),
    ]


@pytest.mark.parametrize(
    ("rules", "zone"),
    [
        (Rules(keep_last=3, daily=5, weekly=2, monthly=2), "UTC"),
        (Rules(daily=4, weekly=3), "Europe/Berlin"),
        (Rules(generations=9), "UTC"),
    ],
)
def test_what_goes_next_goes_about_when_it_was_said(rules: Rules, zone: str) -> None:
    """Backups go on, one each night, and the plan is carried out each time."""
    rules = Rules(**{name: getattr(rules, name) for name in rules.__slots__} | {"timezone": zone})
    first = plan(NIGHTLY, rules, [], NOW)
    said = {v.point.key: v.until for v in first if v.keep}
    left, gone = [v.point for v in first if v.keep], dict[str, datetime]()
    for night in range(1, 150):
        at = NIGHTLY[0].at + night * DAY
        verdicts = plan([*left, point(at, f"n{night}")], rules, [], at)
        gone |= {v.point.key: at for v in verdicts if not v.keep}
        left = [v.point for v in verdicts if v.keep]
    assert said.keys() <= gone.keys()
    late = {key: (gone[key] - at).days for key, at in said.items() if at is not None}
    assert {key: days for key, days in late.items() if abs(days) > TOLERANCE_DAYS} == {}


def test_how_it_goes_on_is_not_known_after_one_backup() -> None:
    assert plan(NIGHTLY[:1], Rules(keep_last=2), [], NOW)[0].until is None


def test_rules_in_words() -> None:
    assert Rules().in_words == "every restore point is kept"
    assert Rules(generations=30).in_words == "30 generations"
    assert Rules(keep_last=7, weekly=8).in_words == "last 7, weekly 8"


def test_the_day_of_a_leap_year_is_a_day() -> None:
    found = [point(datetime(2024, 2, day, tzinfo=UTC), f"f{day}") for day in (28, 29)]
    found.append(point(datetime(2024, 3, 1, tzinfo=UTC), "m1"))
    assert _only(found, Rules(daily=3)) == ["m1", "f29", "f28"]
    assert date(2024, 2, 29) in {one.at.date() for one in found}


def test_consistency_none_with_something_usable_counts_least() -> None:
    partial = Point("partial", NOW - HOUR, NONE, {"i-1": Consistency.APPLICATION})
    assert _only([partial, point(NOW - 2 * HOUR, "whole", CRASH)], Rules(daily=1)) == [
        "partial",
        "whole",
    ]
