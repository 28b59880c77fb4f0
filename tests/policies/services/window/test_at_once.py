"""What a window has come to is entered with one commit; where that fails, step by step, and nothing differs."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from policies.domain.runs.sequence import State
from policies.models import PhaseResult, Run, RunSnapshot, RunTarget, VolumeFire, WindowLease
from policies.services.window import answers, at_once, keeping
from scripts_admin.guard import spool
from tests.ground import costs
from tests.policies.services.backup import Backup, outcomes, snapshots_of, story, target

pytestmark = pytest.mark.django_db(transaction=True)

_DIFFERENT = {"id", "run_id", "target_id", "started_at", "ended_at", "fired_at", "snapshot_id"}
_DIFFERENT |= {"created_at", "policy_id"}


def rows(run: Run) -> list[dict[str, Any]]:
    """Return what was entered for a run, without what no two runs share."""
    found: list[Any] = [
        *RunTarget.objects.filter(run=run).values(),
        *RunSnapshot.objects.filter(target__run=run).order_by("volume_id").values(),
        *PhaseResult.objects.filter(run=run).order_by("phase").values(),
    ]
    return [{name: each[name] for name in each.keys() - _DIFFERENT} for each in found]


def by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "enter", lambda *_: False)


def with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(at_once, "_targets", fail)


def with_the_database_away_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    enter, failures = at_once._targets, [OperationalError("server closed the connection")]

    def away_once(*given: Any) -> None:
        if failures:
            raise failures.pop()
        enter(*given)

    monkeypatch.setattr(at_once, "_targets", away_once)
    monkeypatch.setattr(keeping, "ENTER_PAUSES_SECONDS", (0, 0))


@pytest.mark.parametrize("how", [by_steps, with_an_error, with_the_database_away_for_a_moment])
def test_the_rows_are_the_same_whichever_way_they_are_entered(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, how: Callable[[pytest.MonkeyPatch], None]
) -> None:
    backup.scripts(before="echo frozen; echo odd >&2", after="echo thawed")
    backup.add_instance()
    usual = backup.to_end(backup.window())
    VolumeFire.objects.all().delete()  # else the next one waits

    how(monkeypatch)
    other = backup.window()

    assert other.state == State.WAITING
    assert not WindowLease.objects.exists()
    assert backup.to_end(other).state == usual.state == State.SUCCEEDED
    assert (other.consistency, other.thaw_by) == (usual.consistency, usual.thaw_by)
    assert rows(other) == rows(usual)
    assert [line for line in story(other) if "i-" not in line] == [
        line for line in story(usual) if "i-" not in line
    ]
    assert len(story(other)) == len(story(usual))
    assert outcomes(other)["after"] == "succeeded"


def test_it_is_one_commit(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    backup.scripts(before="echo frozen", after="echo thawed")
    backup.to_end()
    VolumeFire.objects.all().delete()
    counted, enter = list[costs.Costs](), at_once.enter

    def count(*given: Any) -> bool:
        with costs.counted() as cost:
            entered = enter(*given)
        counted.append(cost)
        return entered

    monkeypatch.setattr(at_once, "enter", count)
    backup.window()

    assert [cost.commits for cost in counted] == [1]


def test_a_run_that_another_server_has_by_now_gets_nothing_of_it(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    enter = at_once.enter

    def taken_over(run: Run, *given: Any) -> bool:
        Run.objects.filter(pk=run.pk).update(server="another")
        return enter(run, *given)

    monkeypatch.setattr(at_once, "enter", taken_over)
    run = backup.window()

    assert (run.state, run.server, run.fired_at) == (State.FROZEN, "another", None)
    assert not snapshots_of(run)
    assert target(run).state == RunTarget.State.PLANNED
    assert not run.phases.exists()


def test_a_volume_without_a_snapshot_is_told(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    fired = backup.cloud.fire

    def one_less(*given: Any) -> Any:
        return fired(*given)[:1]

    monkeypatch.setattr(backup.cloud, "fire", one_less)
    run = backup.window()

    assert len(snapshots_of(run)) == 1
    assert "the set is not whole" in target(run).reason
    assert answers.lacks(target(run), []) == ""


def test_a_record_that_cannot_be_settled_takes_nothing_from_a_good_window(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts(before="echo frozen", after="echo thawed")

    def fails(_: object) -> None:
        raise OSError("read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(spool, "settle", fails)
        run = backup.window()

    assert run.state == State.WAITING
    assert len(story(run)) == len(set(story(run)))
    assert {each.state for each in RunSnapshot.objects.filter(target__run=run)} == {"pending"}
