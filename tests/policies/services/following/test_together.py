"""Many runs are settled, completed and ended together, and each of them as if it were alone."""

from collections.abc import Sequence
from typing import NoReturn

import pytest
from django.db import OperationalError

from n2wbackup.celery import app
from policies import tasks
from policies.domain.runs.sequence import Event, State
from policies.models import DailyCount, Policy, Run, RunSnapshot, VolumeFire
from policies.selectors.worth import Worth
from policies.services import closing, protection, runs, together
from policies.services.alarms import raising
from policies.services.following import completing, in_flight, settling, tagging
from policies.services.together import Change
from scripts_admin.guard import keeper
from tests.policies.services.backup import Backup, outcomes, snapshots_of, story

pytestmark = pytest.mark.django_db(transaction=True)
Many = list[tuple[Backup, Run]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[str]]]:
    """Give the hints that are sent: tasks and their arguments."""
    found: list[tuple[str, Sequence[str]]] = []
    monkeypatch.setattr(app, "send_task", lambda name, args, **_: found.append((name, args)))
    return found


def _waiting(backup: Backup, number: int = 3) -> Many:
    """Return runs whose snapshots AWS has completed by now."""
    found = [(each, each.window()) for each in backup.others(number)]
    backup.cloud.advance()
    return found


def _completing(backup: Backup, number: int = 3) -> Many:
    found = _waiting(backup, number)
    found[0][0].settle(found[0][1])
    return found


def _complete(many: Many) -> None:
    tasks.complete(*(str(run.pk) for _, run in many))
    for _, run in many:
        run.refresh_from_db()


def test_runs_that_one_poll_sees_completed_are_one_hint(
    backup: Backup, sent: list[tuple[str, Sequence[str]]]
) -> None:
    many = _waiting(backup)
    sent.clear()

    many[0][0].settle(many[0][1])

    ((task, args),) = sent
    assert task == "policies.tasks.complete"
    assert sorted(args) == sorted(str(run.pk) for _, run in many)
    assert {Run.objects.get(pk=run.pk).state for _, run in many} == {State.COMPLETING}


def test_each_of_many_ends_as_one_alone_does(
    backup: Backup, sent: list[tuple[str, Sequence[str]]]
) -> None:
    many = _completing(backup)

    _complete(many)

    assert [run.state for _, run in many] == [State.SUCCEEDED] * 3
    assert sorted(backup.marks[-3:]) == ["complete 1", "other1 complete 1", "other2 complete 1"]
    backup.policy.refresh_from_db()
    first = _seen(many[0][0], many[0][1])
    assert [_seen(*each) for each in many[1:]] == [first] * 2
    VolumeFire.objects.all().delete()  # else the next one waits
    assert _seen(backup, backup.to_end()) == {**first, "counted": 2}


def _seen(backup: Backup, run: Run) -> dict[str, object]:
    """Return what a run and its policy have become, without times and names."""
    policy = Policy.objects.get(pk=backup.policy.pk)
    point = policy.targets.get()
    count = DailyCount.objects.filter(policy=policy, state=run.state).get().runs
    return {
        "story": [line.replace(backup.instance.instance_id, "it") for line in story(run)],
        "outcomes": outcomes(run),
        "worth": (run.state, run.consistency, run.reason, run.restore_point, run.left_behind),
        "target": [(each.state, each.consistency) for each in run.targets.all()],
        "policy": (policy.last_run_id == run.pk, policy.requires, policy.failed_since),
        "succeeded": policy.last_success_at == run.ended_at,
        "point": point.application_point == point.crash_point == run.targets.get(),
        "protected": policy.protected_until > run.ended_at if run.ended_at else None,
        "counted": count,
    }


def test_one_error_ends_its_own_run_and_no_other(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = _completing(backup)
    bad = many[1][1]
    judge = completing._argument

    def fail(run: Run, known: Worth) -> str:
        if run == bad:
            raise ZeroDivisionError
        return judge(run, known)

    monkeypatch.setattr(completing, "_argument", fail)
    _complete(many)

    assert [run.state for _, run in many] == [State.SUCCEEDED, State.PARTIAL, State.SUCCEEDED]
    assert "could not be completed (ZeroDivisionError)" in bad.reason
    assert sorted(backup.marks[-2:]) == ["complete 1", "other2 complete 1"]


def test_a_run_that_cannot_be_settled_keeps_no_other_waiting(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = _waiting(backup)
    bad = many[1][1]
    change = settling._change

    def fail(run: Run, *given: object) -> Change:
        if run == bad:
            raise ZeroDivisionError
        return change(run, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(settling, "_change", fail)
    many[0][0].settle(many[0][1])

    assert {Run.objects.get(pk=run.pk).state for _, run in many} == {State.COMPLETING}
    bad.refresh_from_db()
    assert "could not be judged by its snapshots (ZeroDivisionError)" in bad.reason
    assert [Run.objects.get(pk=run.pk).reason for _, run in (many[0], many[2])] == ["", ""]


def test_a_run_that_is_cancelled_in_the_last_moment_gets_no_1_and_the_others_do(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = _completing(backup)
    claim = completing._claim

    def cancel_first(some: Sequence[object]) -> None:
        monkeypatch.undo()
        runs.cancel(Run.objects.get(pk=many[1][1].pk), by="alice")
        claim(some)  # type: ignore[arg-type]

    monkeypatch.setattr(completing, "_claim", cancel_first)
    _complete(many)

    assert [run.state for _, run in many] == [State.SUCCEEDED, State.COMPLETING, State.SUCCEEDED]
    assert sorted(backup.marks[-2:]) == ["complete 1", "other2 complete 1"]
    _complete(many)
    assert many[1][1].state == State.CANCELLED
    assert backup.marks[-1] == "other1 complete 0"


def test_a_hint_of_many_that_comes_twice_completes_each_once(backup: Backup) -> None:
    many = _completing(backup)

    _complete(many)
    ended = [run.ended_at for _, run in many]
    _complete(many)

    assert [run.ended_at for _, run in many] == ended
    assert sum("complete" in mark for mark in backup.marks) == 3


def test_no_script_starts_before_the_claim_is_committed(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = _completing(backup)
    init, seen = keeper.Guard.__init__, list[bool]()

    def look(*args: object, **given: object) -> None:
        from django.db import connection  # noqa: PLC0415

        seen.append(connection.in_atomic_block)
        init(*args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(keeper.Guard, "__init__", look)
    _complete(many)

    assert seen == [False] * 3


def test_while_all_scripts_are_slow_the_other_runs_are_left_to_other_workers(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, sent: list[tuple[str, Sequence[str]]]
) -> None:
    many = _completing(backup)
    first = Run.objects.filter(pk__in=[run.pk for _, run in many]).earliest("created_at")
    slow = next(each for each, run in many if run.pk == first.pk)
    slow.script("complete", "sleep 1")
    monkeypatch.setattr(completing, "AT_ONCE", 1)
    monkeypatch.setattr(completing, "STUCK_SECONDS", 0.1)
    sent.clear()
    order = sorted(many, key=lambda each: each[1].pk != first.pk)

    _complete(order)

    assert [run.state for _, run in order] == [State.SUCCEEDED, State.COMPLETING, State.COMPLETING]
    assert sent == [("policies.tasks.complete", [str(run.pk)]) for _, run in order[1:]]


def test_the_database_is_away_for_all_of_them(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = _completing(backup)

    def away(*_: object) -> NoReturn:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(completing, "_claim", away)
        with pytest.raises(OperationalError):
            _complete(many)

    _complete(many)
    assert [run.state for _, run in many] == [State.SUCCEEDED] * 3


@pytest.mark.parametrize(
    ("owner", "name"),
    [(protection, "note"), (raising, "ended"), (closing, "_count"), (closing, "_with_policies")],
)
def test_what_belongs_to_an_end_prevents_none_of_them(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    many = _completing(backup)
    bad = many[1][1]
    real = getattr(owner, name)

    def fail(first: object, *given: object) -> object:
        if _names(first, bad):
            raise ZeroDivisionError
        return real(first, *given)

    monkeypatch.setattr(owner, name, fail)
    _complete(many)

    assert [run.state for _, run in many] == [State.SUCCEEDED] * 3
    good = [each.policy.pk for each, run in many if run != bad]
    assert set(DailyCount.objects.filter(policy__in=good).values_list("runs", flat=True)) == {1}
    assert not Policy.objects.filter(pk__in=good, last_success_at=None).exists()


def _names(given: object, run: Run) -> bool:
    """Tell whether the run is what is given, or among it."""
    if isinstance(given, list):
        return any(_names(each, run) for each in given)
    return given == run or getattr(given, "run", None) == run


def test_tags_of_many_ends_are_one_call(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LINGER_SECONDS", "AT_MOST_SECONDS"):
        monkeypatch.setattr(in_flight, name, 60.0)
    many = _completing(backup)
    tagging.tag_due()
    backup.cloud.calls.clear()

    _complete(many)

    assert len(backup.calls("tag")) == 1
    assert not Run.objects.filter(tags_due=True).exists()


def test_tags_after_the_thaw_are_one_call_for_all(backup: Backup) -> None:
    many = _waiting(backup)

    tagging.tag_due()

    (call,) = backup.calls("tag")
    assert sorted(call.ids) == sorted(RunSnapshot.objects.values_list("snapshot_id", flat=True))
    assert not Run.objects.filter(tags_due=True).exists()
    gone = snapshots_of(many[1][1])[0].snapshot_id
    Run.objects.update(tags_due=True)
    backup.cloud.delete_snapshot(gone)
    tagging.tag_due()
    assert not Run.objects.filter(tags_due=True).exists()


def test_a_change_that_is_taken_back_leaves_the_runs_in_memory_as_they_were(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = _completing(backup, 2)
    change = [Change(run, Event.COMPLETED, "x", end=State.FAILED) for _, run in many]
    for _, run in many:
        run.refresh_from_db()
        runs.note(run, left_behind=[])
    monkeypatch.setattr(together, "record_all", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        together.apply_all(change)

    assert {run.state for _, run in many} == {State.COMPLETING}
    assert all(run.noted == {"left_behind": []} for _, run in many)
    assert {run.ended_at for _, run in many} == {None}
