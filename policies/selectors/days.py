"""The calendars of policies: what ended on each day, from the daily counts."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, timedelta
from typing import Final

from n2wbackup.lib.charts import DAYS, WEEKS, Day
from policies.domain.runs.sequence import State
from policies.models import DailyCount

_KINDS: Final[Mapping[str, str]] = {
    State.SUCCEEDED: "good",
    State.PARTIAL: "warn",
    State.MISSED: "warn",
    State.FAILED: "bad",
    State.SKIPPED: "other",
    State.CANCELLED: "other",
}
# A day with a success and a skipped run is a good day; with a failure it is a bad one.
_WORST = ("bad", "warn", "good", "other")


def of_policies(keys: Collection[int], today: date) -> Mapping[int, Mapping[date, Day]]:
    """Return the days of the last 53 weeks on which anything of these policies ended."""
    since = today - timedelta(days=WEEKS * DAYS)
    rows = DailyCount.objects.filter(policy__in=keys, day__gt=since)
    found: dict[int, dict[date, dict[str, int]]] = {key: defaultdict(dict) for key in keys}
    for key, day, state, runs in rows.values_list("policy", "day", "state", "runs"):
        found[key][day][state] = runs
    return {
        key: {day: _day(day, states) for day, states in days.items()} for key, days in found.items()
    }


def _day(day: date, states: Mapping[str, int]) -> Day:
    kinds = {_KINDS.get(state, "other") for state in states}
    order = sorted(states, key=lambda state: _WORST.index(_KINDS.get(state, "other")))
    words = ", ".join(f"{states[state]} {state}" for state in order)
    return Day(day, next(kind for kind in _WORST if kind in kinds), words)
