"""Three nights of rows, with a server that keeps going away: what the tick writes accounts for all that was due.

Thirty nights of five hundred policies are reckoned without rows, beside the domain's tests.
"""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
import time_machine

from policies.adapters import broker
from policies.domain.runs.sequence import State
from policies.domain.schedules import schedule
from policies.domain.schedules.reckoning import LATE
from policies.domain.schedules.schedule import Rule
from policies.models import Policy, Run, Schedule
from policies.services.due import ticking
from policies.services.entry import schedules
from tests import factories
from tests.policies.domain.schedules import nights
from tests.policies.domain.schedules.nights import Entered, Outage

POLICIES = 100
BEGIN = datetime(2026, 10, 24, tzinfo=UTC)  # Europe's clocks change within
END = BEGIN + timedelta(days=3)
SEED = 1  # one that has all three ends


def some_policies(chance: random.Random) -> list[Policy]:
    owner = factories.alice()
    rows = []
    for number, entered in enumerate(nights.schedules(chance, 40)):
        row = Schedule(owner=owner, name=f"s{number}", **entered.fields())
        schedules.save(row)
        rows.append(row)
    made = []
    for number in range(POLICIES):
        policy = factories.PolicyFactory.create(owner=owner, name=f"p{number}")
        policy.schedules.set(chance.sample(rows, chance.choice([1, 1, 1, 1, 2])))
        made.append(policy)
    with ticking.replanned(policy.pk for policy in made):
        pass
    return made


def ticks(down: list[Outage]) -> Iterator[datetime]:
    """Yield when the tick runs: a second after what is due next, unless the server is down then."""
    now = BEGIN
    while True:
        next_at = Policy.objects.filter(next_run_at__isnull=False).order_by("next_run_at").first()
        assert next_at is not None
        assert next_at.next_run_at is not None
        now = max(now + timedelta(seconds=1), next_at.next_run_at + timedelta(seconds=1))
        now = nights.up_at(down, now)
        if now >= END:
            return
        yield now


def end_some(chance: random.Random, now: datetime) -> None:
    """End most of the unfinished runs; the rest go on, some of them into their next due time."""
    for key in Run.objects.unfinished().values_list("pk", flat=True):
        if chance.random() < 0.9:
            Run.objects.filter(pk=key).update(state=State.SUCCEEDED, ended_at=now)


@pytest.mark.django_db
def test_every_due_time_of_three_days_ran_or_was_skipped_or_was_missed_exactly_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker, "send", lambda *_: None)
    chance = random.Random(SEED)
    with time_machine.travel(BEGIN, tick=False) as clock:
        made = some_policies(chance)
        down = nights.outages(chance, BEGIN, END, longest_wait=900)
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


def accounted_for(policy: Policy, down: list[Outage]) -> Counter[str]:
    """Compare the policy's rows with its schedules, computed again; return how many of each there were."""
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
            mine = [at for at in mine if nights.is_held(rules, at) == (run.state == State.SKIPPED)]
            mine = mine[: run.due_count]
        assert len(mine) == run.due_count
        told += mine
        found["ran" if run.state not in {State.SKIPPED, State.MISSED} else run.state] += len(mine)
        check(run, mine, rules, down)
    assert sorted(told) == due
    return found


def check(run: Run, mine: list[datetime], rules: dict[str, Rule], down: list[Outage]) -> None:
    up_again = {at: nights.up_at(down, at) for at in mine}
    if run.state == State.MISSED:
        assert all(up > at for at, up in up_again.items()), "it was up"
    elif run.state == State.SKIPPED:
        assert run.reason.startswith("Run ") or all(nights.is_held(rules, at) for at in mine)
    else:
        assert not nights.is_held(rules, mine[0])
        assert up_again[mine[0]] - mine[0] < LATE


def rule_of(row: Schedule) -> Rule:
    entered = Entered(
        row.timezone,
        row.cron,
        row.every_number,
        row.every_unit,
        row.starting,
        tuple(row.disabled),
    )
    return entered.rule()
