"""While many wait, the owner with the fewest windows is next; no hint is lost, and no run is taken twice."""

import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from n2wbackup.lib import clock
from n2wbackup.processes import pool
from policies import tasks
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Run
from policies.services import claiming, runs
from policies.services.due import line
from policies.services.due.line import Line
from policies.services.window import keeping
from scripts_admin.guard import spool
from scripts_admin.models import User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def fair() -> Line:
    return Line()


def queued(owner: User, number: int) -> list[UUID]:
    """Queue runs of an owner; return them in their order."""
    made = []
    for each in range(number):
        name = f"p{Run.objects.count()}-{each}"
        policy = factories.PolicyFactory.create(owner=owner, name=name)
        made.append(runs.start(policy=policy, trigger=Trigger.MANUAL).pk)
    return made


def opens(run: UUID) -> None:
    Run.objects.filter(pk=run).update(state=State.FROZEN)


def test_an_owner_with_very_many_does_not_delay_the_one_run_of_another(fair: Line) -> None:
    many = queued(factories.alice(), 20)
    for run in many[:4]:
        opens(run)
    (one,) = queued(factories.bob(), 1)

    # The hints of all the others came first.
    taken = [fair.next_for(hint) for hint in many[4:7]]

    assert taken[0] == one
    assert set(taken[1:]) < set(many)


def test_what_is_thawed_again_and_again_costs_its_owner_no_turn(fair: Line) -> None:
    many = queued(factories.alice(), 4)
    Run.objects.filter(pk__in=many[:2]).update(state=State.THAWING)
    Run.objects.filter(pk=many[2]).update(state=State.FROZEN, server_gone_at=clock.now())
    queued(factories.bob(), 1)

    assert fair.next_for(many[3]) == many[3]


def test_who_has_no_more_windows_than_the_others_gets_the_run_of_the_hint(fair: Line) -> None:
    alices, bobs = queued(factories.alice(), 2), queued(factories.bob(), 2)

    assert [fair.next_for(hint) for hint in (*alices[:1], *bobs[:1])] == [alices[0], bobs[0]]


def test_the_last_hints_are_for_whose_turn_was_given_away(fair: Line) -> None:
    many = queued(factories.alice(), 3)
    opens(many[0])
    (one,) = queued(factories.bob(), 1)
    assert fair.next_for(many[1]) == one
    opens(one)

    # Bob's own hint comes last, and his run is gone: it is for Alice's, which nobody has a hint for.
    assert fair.another_than(one) in many[1:]


def test_of_two_processes_one_takes_the_run() -> None:
    many = queued(factories.alice(), 4)
    opens(many[0])
    (one,) = queued(factories.bob(), 1)
    first, second = Line(), Line()
    second._look()  # before the first has taken anything

    assert first.next_for(many[1]) == one
    assert second.next_for(many[2]) == many[2]


def test_a_run_that_has_to_wait_is_nobodys_turn(fair: Line) -> None:
    many = queued(factories.alice(), 2)
    opens(many[0])
    (one,) = queued(factories.bob(), 1)
    soon = clock.now() + claiming.LONGEST_DEFERRAL / 2
    Run.objects.filter(pk=one).update(not_before=soon)

    assert fair.next_for(many[1]) == many[1]
    assert fair.another_than(many[1]) is None


@pytest.mark.parametrize("is_full", [False, True])
def test_only_a_worker_that_is_full_looks_whose_turn_it_is(
    monkeypatch: pytest.MonkeyPatch, *, is_full: bool
) -> None:
    hint, other = uuid4(), uuid4()
    taken: list[UUID] = []

    def execute(run: UUID, **_: object) -> bool:
        taken.append(run)
        return True

    monkeypatch.setattr(pool, "is_full", lambda: is_full)
    monkeypatch.setattr(line, "next_for", lambda _: other)
    monkeypatch.setattr(keeping, "execute", execute)

    tasks.freeze(str(hint))

    assert taken == [other if is_full else hint]


@pytest.mark.parametrize("draining", [False, True])
def test_a_hint_whose_run_is_gone_is_for_another_one_unless_the_worker_stops(
    monkeypatch: pytest.MonkeyPatch, *, draining: bool
) -> None:
    hint, *others = [uuid4() for _ in range(3)]
    tried: list[UUID] = []

    def execute(run: UUID, **_: object) -> bool:
        tried.append(run)
        return run == others[-1]  # another process has the first of them, too

    turns = iter(others)
    monkeypatch.setattr(line, "another_than", lambda _: next(turns))
    monkeypatch.setattr(tasks, "draining", lambda: draining)
    monkeypatch.setattr(keeping, "execute", execute)

    tasks.freeze(str(hint))

    assert tried == ([hint] if draining else [hint, *others])


def test_a_worker_does_not_try_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[UUID] = []
    monkeypatch.setattr(line, "another_than", lambda _: uuid4())
    monkeypatch.setattr(keeping, "execute", lambda run, **_: tried.append(run))

    tasks.freeze(str(uuid4()))

    assert len(tried) == tasks.TURNS


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_run_that_another_process_takes_first_is_not_this_ones(
    monkeypatch: pytest.MonkeyPatch, *, is_locked: bool
) -> None:
    (run,) = queued(factories.alice(), 1)
    lock = None if is_locked else os.open(os.devnull, os.O_RDONLY)
    monkeypatch.setattr(spool, "keep", lambda *_: (Path("nowhere"), lock))
    monkeypatch.setattr(claiming, "claim", lambda _: False)

    assert keeping.execute(run) is False

    assert Run.objects.get(pk=run).state == State.QUEUED
