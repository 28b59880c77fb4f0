"""Whatever a step raises: each run ends with a sentence, after ran where before did, and others go on."""

import errno
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.db import OperationalError

from n2wbackup.celery import app
from n2wbackup.lib import each
from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.models import Policy, Run, RunSnapshot
from policies.ports import FireRequest, Snapshot
from policies.services import claiming, closing, together
from policies.services.alarms import raising, sealed_urls
from policies.services.following import completing, in_flight, polling, settling, tagging
from policies.services.window import (
    at_once,
    ending,
    entering,
    keeping,
    leases,
    permits,
    preparing,
    scripts,
    sealing,
    volley,
)
from scripts_admin.folders import storage
from scripts_admin.guard import journal, keeper, spool, thaw
from tests import factories
from tests.policies.services.backup import Backup, snapshots_of, story, target
from tests.policies.services.driving import drive
from tests.policies.services.window.test_keeping import LOST

STEPS: list[tuple[object, str]] = [
    (raising, "has_ping"),
    (raising, "started"),
    (preparing, "prepare"),
    (scripts, "resolve"),
    (storage, "find"),
    (storage, "copy"),
    (session, "cloud"),
    (MemoryCloud, "instances"),
    (MemoryCloud, "volumes"),
    (MemoryCloud, "prove"),
    (MemoryCloud, "renew"),
    (MemoryCloud, "warm"),
    (MemoryCloud, "aim"),
    (MemoryCloud, "fire"),
    (MemoryCloud, "describe"),
    (MemoryCloud, "tag"),
    (leases, "take"),
    (permits, "take"),
    (permits, "pending_limit_reached"),
    (preparing, "_enter_targets"),
    (volley.Volley, "__init__"),
    (volley.Volley, "aim"),
    (volley.Volley, "fire"),
    (volley.Volley, "read"),
    (spool, "create"),
    (spool, "write"),
    (journal, "create"),
    (journal, "read"),
    (sealed_urls, "write"),
    (sealing, "secrets"),
    (keeper, "warm"),
    (keeper.Guard, "wait_until_ready"),
    (keeper.Guard, "go"),
    (keeper.Guard, "before"),
    (keeper.Guard, "thaw"),
    (keeper.Guard, "wait_until_over"),
    (keeper.Guard, "wait_until_done"),
    (at_once, "enter"),
    (at_once, "_targets"),
    (entering, "shots"),
    (entering, "thaw"),
    (entering, "_result"),
    (entering, "_enter_results"),
    (entering, "_judge_targets"),
    (entering, "spans"),
    (thaw, "look"),
    (settling, "_decided"),
    (settling, "_decide"),
    (polling, "_look"),
    (completing, "worths"),
    (completing, "_argument"),
    (completing, "_claim"),
    (completing, "_land"),
    (in_flight, "_made_record"),
    (in_flight, "landed"),
    (in_flight.Flight, "start"),
    (in_flight.Flight, "land"),
    (ending, "record"),
    (ending, "again"),
    (ending, "finish"),
    (ending, "finish_all"),
    (together, "_update"),
    (together, "record_all"),
    (closing, "_close"),
    (ending, "_reason"),
    (entering, "complete_results"),
    (raising, "ended"),
    (raising, "thawed_late"),
    (closing, "_ask_for_retry"),
    (closing, "_count"),
    (tagging, "worth"),
    (app, "send_task"),
]
# Without these nothing can be decided: a run waits until they work again.
WAITING_FOR = {"_decided"}


def _raising(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(polling, "ABSENT_FOR", timedelta(0))
    monkeypatch.setattr(polling, "LOST_ANSWER", timedelta(0))


@pytest.mark.parametrize(
    ("owner", "name"), STEPS, ids=[f"{getattr(o, '__name__', 'app')}.{n}" for o, n in STEPS]
)
def test_an_error_in_any_step_ends_the_run_and_leaves_nothing_frozen(
    backup: Backup, owner: object, name: str
) -> None:
    Policy.objects.update(before_timeout_seconds=1)  # after a cut before, after runs again then
    backup.policy.refresh_from_db()
    backup.scripts()
    run = backup.start()
    error = ValueError("embedded null byte")
    with pytest.MonkeyPatch.context() as patch:
        if owner is entering:  # each of its steps, although they are nearly always taken together
            patch.setattr(at_once, "enter", lambda *_: False)
        patch.setattr(owner, name, _raising(error))
        drive(backup, run)

    if name in WAITING_FOR:
        assert run.state == State.WAITING
        drive(backup, run)
    assert run.state in sequence.ENDS, story(run)
    assert run.state == State.SUCCEEDED or run.reason
    befores, afters = (
        sum(mark.startswith(p) for mark in backup.marks) for p in ("before", "after")
    )
    assert befores <= 1
    assert afters >= befores
    assert "complete 1" not in backup.marks or "after 1" in backup.marks
    assert _goes_on(backup)


def _goes_on(backup: Backup) -> bool:
    """Tell whether the next run of the same queue is taken to its end."""
    other = factories.PolicyFactory.create(owner=backup.policy.owner, name="next")
    instance = backup.cloud.add_instance()
    factories.PolicyTargetFactory.create(policy=other, instance_id=instance.instance_id)
    next_one = Backup(other, backup.cloud, instance, backup.folder)
    run = next_one.start()
    drive(next_one, run)
    return run.state == State.SUCCEEDED


def test_a_script_whose_first_line_has_a_nul_ends_the_run_with_a_sentence(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "after_policy1.sh").write_bytes(b"#!/bin/bash\0\necho after >> marks\n")
    run = backup.start()

    drive(backup, run)

    assert run.state == State.PARTIAL
    assert "after crashed" in run.reason
    assert "before" not in backup.marks
    assert "after_policy1.sh has a NUL byte in its first line" in run.reason


def test_an_error_in_the_window_thaws_at_once_and_looks_for_the_snapshots(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    fire = volley.Volley.fire

    def fire_and_fail(*arguments: Any) -> NoReturn:
        fire(*arguments)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(volley.Volley, "fire", fire_and_fail)
    run = backup.start()
    drive(backup, run)

    assert backup.marks == ["before", "after 1", "complete 0"]
    assert run.thaw_by == "lost"
    assert len(snapshots_of(run)) == len(backup.instance.volume_ids)
    assert run.consistency == "crash"


def test_a_full_disk_is_told_with_the_systems_words(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = backup.start()
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(spool, "create", _raising(full))

    drive(backup, run)

    assert run.state == State.FAILED
    assert run.reason == (
        "The run could not be taken through its window (OSError: No space left on device): look for the error in "
        "the server's log."
    )


def test_an_outage_is_no_end(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    run = backup.start()
    monkeypatch.setattr(claiming, "claim", _raising(OperationalError("database is locked")))

    with pytest.raises(OperationalError):
        keeping.execute(run.pk)

    run.refresh_from_db()
    assert run.state == State.QUEUED


def test_one_runs_bad_answer_stops_no_other_run_of_its_batch(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = backup.window()
    good = factories.RunFactory.create(
        policy=factories.PolicyFactory.create(
            owner=backup.policy.owner, account=backup.policy.account, name="good"
        ),
        state=State.WAITING,
    )
    made = backup.cloud.add_volume()
    shot = backup.cloud.fire(FireRequest(made.region, {}, "", volume_id=made.volume_id), 5.0)[0]
    factories.RunSnapshotFactory.create(
        target=factories.RunTargetFactory.create(run=good, expected_volume_ids=[made.volume_id]),
        snapshot_id=shot.snapshot_id,
        volume_id=made.volume_id,
    )
    backup.cloud.advance()
    poisoned = {snapshot.snapshot_id for snapshot in snapshots_of(bad)}
    describe = backup.cloud.describe

    def describe_or_fail(region: str, ids: list[str]) -> dict[str, Snapshot]:
        if poisoned & set(ids):
            raise ZeroDivisionError
        return describe(region, ids)

    monkeypatch.setattr(backup.cloud, "describe", describe_or_fail)
    for _ in range(polling.ABSENT_POLLS):
        polling.poll()

    good.refresh_from_db()
    bad.refresh_from_db()
    assert good.state == State.COMPLETING
    assert bad.state == State.COMPLETING
    assert "the server could not follow it (ZeroDivisionError)" in target(bad).reason
    assert {s.state for s in snapshots_of(bad)} == {RunSnapshot.State.ERROR}


def test_a_run_whose_account_is_gone_is_not_waited_for_for_ever(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = backup.window()
    Run.objects.filter(pk=run.pk).update(account=None)
    monkeypatch.setattr(polling, "_HOURS_WITHOUT_POLICY", 0)
    Policy.objects.update(snapshot_timeout_hours=0)

    polling.poll()

    run.refresh_from_db()
    assert run.state == State.COMPLETING


def test_a_lost_answer_that_cannot_be_looked_for_is_given_up(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.cloud.fail_next("fire", LOST)
    run = backup.window()
    monkeypatch.setattr(backup.cloud, "of_run", _raising(KeyError("x")))

    drive(backup, run)

    assert run.state == State.FAILED
    assert (
        "The snapshots could not be looked for (KeyError): look at the server's log." in run.reason
    )


def test_tags_that_meet_an_error_are_given_up_with_a_line(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = backup.to_end()
    monkeypatch.setattr(tagging, "_groups", _raising(KeyError("x")))

    tagging.tag(run.pk)

    run.refresh_from_db()
    assert not run.tags_due
    assert story(run)[-1] == (
        "the snapshots' tags could not be written (KeyError): look at the server's log"
    )


def test_each_step_of_a_turn_has_its_turn() -> None:
    done = []

    with suppress(ValueError):
        each.turn(_raising(ValueError("x")), lambda: done.append(1), lambda: done.append(2))

    assert done == [1, 2]


def test_an_unreachable_broker_changes_nothing_of_a_run(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "send_task", _raising(RuntimeError("no broker")))

    assert backup.to_end().state == State.SUCCEEDED
