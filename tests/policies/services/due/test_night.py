"""Thirty nights of five hundred policies, with a server that keeps going away: nothing due is ever lost."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
import time_machine

from policies.adapters import broker
from policies.domain.runs.sequence import State
from policies.domain.schedules import disabled, schedule
from policies.domain.schedules.reckoning import LATE
from policies.domain.schedules.schedule import Every, Rule, Unit
from policies.models import Policy, Run, Schedule
from policies.services.due import ticking
from policies.services.entry import schedules
from tests import factories

POLICIES = 500
BEGIN = datetime(2026, 10, 10, tzinfo=UTC)  # the clocks of Europe and Australia change within
END = BEGIN + timedelta(days=30)
ZONES = ["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata", "UTC"]
SEED = 20261010


def some_schedules(chance: random.Random) -> list[Schedule]:
    """Return forty schedules of all kinds, most of them in the hours in which clocks change."""
    owner = factories.alice()
    made = []
    for number in range(40):
        zone = ZONES[number % len(ZONES)]
        hour, minute = chance.choice([1, 2, 2, 3, 22]), chance.choice([0, 15, 30, 59])
        row = Schedule(owner=owner, name=f"s{number}", timezone=zone)
        match number % 4:
            case 0 | 1:
                row.cron = f"{minute} {hour} * * {chance.choice(['*', '2,5', 'tue', 'sat', 'sun'])}"
            case 2:
                row.every_number, row.every_unit = chance.choice(
                    [(3, "days"), (1, "weeks"), (61, "hours"), (1, "months")]
                )
                row.starting = f"2026-08-31T{hour:02}:{minute:02}"
            case 3:
                row.cron = f"{minute} */12 * * sun,wed"
        row.disabled = chance.choice([[], [], ["sat sun 00:00-24:00"], ["22:30-02:10"]])
        schedules.save(row)
        made.append(row)
    return made


def some_policies(chance: random.Random) -> list[Policy]:
    rows = some_schedules(chance)
    made = []
    for number in range(POLICIES):
        policy = factories.PolicyFactory.create(owner=factories.alice(), name=f"p{number}")
        policy.schedules.set(chance.sample(rows, chance.choice([1, 1, 1, 1, 2])))
        made.append(policy)
    with ticking.replanned(policy.pk for policy in made):
        pass
    return made


def outages(chance: random.Random) -> list[tuple[datetime, datetime]]:
    """Return when the server is down: from a minute to a day, every other day or so."""
    found, at = [], BEGIN
    while at < END - timedelta(days=4):
        begins = at + timedelta(minutes=chance.randint(60, 4000))
        spans = [1, 20, 59, 61, 200, 1440]
        at = begins + timedelta(minutes=chance.choice(spans), seconds=chance.randint(0, 59))
        found.append((begins, at))
    return found


def ticks(down: list[tuple[datetime, datetime]]) -> Iterator[datetime]:
    """Yield when the tick runs: a second after what is due next, unless the server is down then."""
    now = BEGIN
    while True:
        next_at = Policy.objects.filter(next_run_at__isnull=False).order_by("next_run_at").first()
        assert next_at is not None
        assert next_at.next_run_at is not None
        now = max(now + timedelta(seconds=1), next_at.next_run_at + timedelta(seconds=1))
        now = next((up for begins, up in down if begins <= now < up), now)
        if now >= END:
            return
        yield now


def end_some(chance: random.Random, now: datetime) -> None:
    """Let most of the runs under way end; the rest go on, some of them into their next due time."""
    for key in Run.objects.unfinished().values_list("pk", flat=True):
        if chance.random() < 0.9:
            Run.objects.filter(pk=key).update(state=State.SUCCEEDED, ended_at=now)


@pytest.mark.django_db
@pytest.mark.timeout(300)
def test_every_due_time_of_thirty_days_ran_or_was_skipped_or_was_missed_exactly_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker, "send", lambda *_: None)
    chance = random.Random(SEED)
    with time_machine.travel(BEGIN, tick=False) as clock:
        made = some_policies(chance)
        down = outages(chance)
        for now in ticks(down):
            clock.move_to(now)
            ticking.tick()
            end_some(chance, now)
        clock.move_to(END - timedelta(seconds=1))
        ticking.tick()

    states: Counter[str] = Counter()
    for policy in made:
        states += accounted_for(policy, down)
    assert states.keys() == {"ran", "skipped", "missed"}


def accounted_for(policy: Policy, down: list[tuple[datetime, datetime]]) -> Counter[str]:
    """Hold the policy's rows against its schedules, worked out anew; return how many there were of each."""
    rules = {row.name: rule_of(row) for row in policy.schedules.all()}
    due = [one.at for one in takewhile(lambda one: one.at < END, schedule.due(rules, BEGIN))]
    found: Counter[str] = Counter()
    told: list[datetime] = []
    for run in Run.objects.filter(policy=policy):
        assert run.scheduled_for is not None
        until = run.due_until or run.scheduled_for
        mine = [at for at in due if run.scheduled_for <= at <= until]
        if run.state in {State.SKIPPED, State.MISSED} and run.due_count > 1:
            # Such a row stands for the disabled ones among them, or for the others.
            mine = [at for at in mine if is_held(rules, at) == (run.state == State.SKIPPED)]
            mine = mine[: run.due_count]
        assert len(mine) == run.due_count
        told += mine
        found["ran" if run.state not in {State.SKIPPED, State.MISSED} else run.state] += len(mine)
        check(run, mine, rules, down)
    assert sorted(told) == due
    return found


def check(
    run: Run, mine: list[datetime], rules: dict[str, Rule], down: list[tuple[datetime, datetime]]
) -> None:
    up_again = {at: next((up for begins, up in down if begins <= at < up), at) for at in mine}
    if run.state == State.MISSED:
        assert all(up > at for at, up in up_again.items()), "it was up"
    elif run.state == State.SKIPPED:
        assert run.reason.startswith("Run ") or all(is_held(rules, at) for at in mine)
    else:
        assert not is_held(rules, mine[0])
        assert up_again[mine[0]] - mine[0] < LATE


def is_held(rules: dict[str, Rule], at: datetime) -> bool:
    return not next(schedule.due(rules, at - timedelta(seconds=1))).names


def rule_of(row: Schedule) -> Rule:
    every = None
    if row.every_number:
        start = schedule.parse_wall(row.starting)
        every = Every(row.every_number, Unit(row.every_unit), start)
    times = tuple(disabled.parse(line) for line in row.disabled)
    return Rule(ZoneInfo(row.timezone), row.cron, every, disabled=times)
