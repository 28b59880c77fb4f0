"""Old rows go, a few at a time; what a restore point needs stays."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.alarms.messages import AlarmKind
from policies.domain.runs.sequence import State
from policies.models import (
    Alarm,
    AlarmDelivery,
    DailyCount,
    Description,
    InventoryItem,
    LeftOut,
    OutputChunk,
    PhaseResult,
    Policy,
    Removal,
    Run,
    RunSnapshot,
)
from policies.selectors import outputs
from policies.selectors.runs import whole
from policies.services import runs
from policies.services.retention import ages
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.models import AuditEntry
from tests import factories
from tests.policies.services.backup import Backup

pytestmark = pytest.mark.django_db

DAYS = {
    "outputs": 90,
    "events": 400,
    "runs": 400,
    "counts": 1100,
    "alarms": 90,
    "audit": 400,
    "inventory": 90,
    "versions": 400,
}


@pytest.fixture(autouse=True)
def days(settings: Settings) -> None:
    settings.N2W_KEEP_DAYS = DAYS


def ago(days: float) -> datetime:
    return clock.now() - timedelta(days=days)


def ended(days: float, state: State = State.FAILED, **columns: object) -> Run:
    """Give a run that ended so long ago, with an output, an event and a target."""
    at = ago(days)
    run = factories.RunFactory.create(state=state, created_at=at, ended_at=at, **columns)
    factories.result(
        run, Phase.BEFORE, outcome=Outcome.FAILED, exit_code=3, stdout="out", stderr="err"
    )
    runs.record(run, "it ended", at=at)
    factories.RunTargetFactory.create(run=run)
    return run


def alarm(days: float, policy: Policy | None, kind: AlarmKind = AlarmKind.FAILED) -> Alarm:
    at = ago(days)
    return Alarm.objects.create(
        kind=kind, policy=policy, label="x", created_at=at, not_before=at, spread_at=at
    )


def left(deleted: Mapping[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in deleted.items() if count}


def test_outputs_go_first_and_the_results_stay() -> None:
    old, young = ended(91), ended(89)

    assert left(ages.tick()) == {"outputs": 1}

    result = old.phases.get()
    assert (result.stdout_bytes, result.stderr_bytes, result.exit_code) == (0, 0, 3)
    assert set(outputs.texts(PhaseResult.objects.all()).values()) == {"out", "err"}
    assert set(OutputChunk.objects.values_list("result__run", flat=True)) == {young.pk}
    old.refresh_from_db()
    young.refresh_from_db()
    assert old.outputs_deleted_at is not None
    assert young.outputs_deleted_at is None
    assert old.events.count() == young.events.count() == 1
    assert left(ages.tick()) == {}


def test_a_run_that_is_no_restore_point_goes_with_its_events() -> None:
    old, young = ended(401), ended(399)
    ages.tick()
    assert not Run.objects.filter(pk=old.pk).exists()
    assert young.events.exists()


@pytest.mark.parametrize(
    "state",
    [
        RunSnapshot.State.COMPLETED,
        RunSnapshot.State.PENDING,
        RunSnapshot.State.TIMED_OUT,
        RunSnapshot.State.DELETING,
    ],
)
@pytest.mark.parametrize("marked", [True, False])
def test_a_run_with_snapshots_that_may_exist_stays_with_its_targets(
    state: RunSnapshot.State, marked: bool
) -> None:
    run = ended(5000, State.PARTIAL, restore_point=marked)
    factories.RunSnapshotFactory.create(target=run.targets.get(), state=state, created_at=ago(5000))
    ages.tick()
    kept = whole().get(pk=run.pk)
    assert [each.state for each in kept.targets.get().snapshots.all()] == [state]
    assert kept.phases.get().exit_code == 3
    assert not kept.events.exists()
    assert kept.events_deleted_at is not None


@pytest.mark.parametrize(
    "state",
    [RunSnapshot.State.ERROR, RunSnapshot.State.MISSING, RunSnapshot.State.DELETED],
)
def test_a_run_whose_snapshots_came_to_nothing_goes(state: RunSnapshot.State) -> None:
    run = ended(401)
    factories.RunSnapshotFactory.create(target=run.targets.get(), state=state, created_at=ago(401))
    ages.tick()
    assert not Run.objects.filter(pk=run.pk).exists()


@pytest.mark.parametrize("days", [1, 401])
def test_an_old_run_whose_snapshots_were_deleted_lately_says_so(days: float) -> None:
    run = ended(5000, State.SUCCEEDED)
    target = run.targets.get()
    factories.RunSnapshotFactory.create(target=target, state=RunSnapshot.State.DELETED)
    at = ago(days)
    Removal.objects.create(run=run, why="too old", announced_at=at, goes_after=at, ended_at=at)
    ages.tick()
    assert Run.objects.filter(pk=run.pk).exists() == (days < 400)


@pytest.mark.parametrize("days", [1, -1])
def test_an_old_run_stays_while_the_recycle_bin_has_its_snapshots(days: float) -> None:
    run = ended(5000, State.SUCCEEDED)
    factories.RunSnapshotFactory.create(
        target=run.targets.get(), state=RunSnapshot.State.DELETED, bin_until=ago(-days)
    )
    ages.tick()
    assert Run.objects.filter(pk=run.pk).exists() == (days > 0)


def test_an_old_run_whose_snapshots_are_gone_lately_says_so() -> None:
    lately, long_ago = ended(5000, gone_at=ago(1)), ended(5000, gone_at=ago(401))
    ages.tick()
    assert list(Run.objects.filter(pk__in=[lately.pk, long_ago.pk])) == [lately]


def test_the_last_run_of_a_policy_stays() -> None:
    run = ended(5000)
    assert run.policy is not None
    Policy.objects.filter(pk=run.policy.pk).update(last_run=run)
    ages.tick()
    assert Run.objects.filter(pk=run.pk).exists()


def test_a_run_that_has_not_ended_keeps_everything() -> None:
    run = factories.RunFactory.create(state=State.THAWING, created_at=ago(5000))
    runs.record(run, "frozen", at=ago(5000))
    factories.result(run, Phase.AFTER, outcome=Outcome.FAILED, started_at=ago(5000), stderr="no")
    assert left(ages.tick()) == {}
    assert set(outputs.texts(run.phases.all()).values()) == {"no"}
    assert run.events.exists()


def test_a_tick_does_a_part_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ages, "RUNS_AT_ONCE", 2)
    monkeypatch.setattr(ages, "TURNS", 2)
    old = [ended(401 + each) for each in range(5)]
    assert left(ages.tick())["runs"] == 4
    assert [each.pk for each in Run.objects.all()] == [old[0].pk]  # the oldest went first
    assert left(ages.tick())["runs"] == 1


def test_a_run_with_usable_snapshots_ends_as_a_restore_point(backup: Backup) -> None:
    assert backup.to_end().state == State.SUCCEEDED
    assert Run.objects.get().restore_point


def test_a_run_without_usable_snapshots_ends_as_none(backup: Backup) -> None:
    run = backup.start()
    runs.cancel(run, by="alice")
    assert not Run.objects.get().restore_point


def test_counts_of_a_day_go_by_their_day() -> None:
    policy = factories.PolicyFactory.create()
    for days in (1099, 1102):
        DailyCount.objects.create(policy=policy, day=ago(days).date(), state="failed", runs=1)
    assert left(ages.tick()) == {"counts": 1}
    assert DailyCount.objects.get().day == ago(1099).date()


def test_what_is_gone_from_aws_goes_with_the_decisions_about_it() -> None:
    account, now = factories.AccountFactory.create(), clock.now()
    place = {"account": account, "region": "us-east-1"}
    for key, gone_at in (("vol-1", now - timedelta(days=91)), ("vol-2", now), ("vol-3", None)):
        InventoryItem.objects.create(
            **place, kind="volume", resource_id=key, first_seen_at=now, gone_at=gone_at
        )
        LeftOut.objects.create(**place, resource_id=key, reason="r", by="alice", at=now)

    ages.tick()

    for rows in (InventoryItem, LeftOut):
        assert set(rows.objects.values_list("resource_id", flat=True)) == {"vol-2", "vol-3"}


def test_old_alarms_go_but_the_newest_of_a_policy_stays() -> None:
    policy = factories.PolicyFactory.create()
    alarm(500, policy)
    newest = alarm(450, policy)
    alarm(450, None)
    assert left(ages.tick()) == {"alarms": 2}
    assert Alarm.objects.get() == newest


def test_an_alarm_that_is_still_to_be_sent_or_whose_freeze_lasts_stays() -> None:
    policy, frozen = factories.PolicyFactory.create(), factories.PolicyFactory.create()
    Policy.objects.filter(pk=frozen.pk).update(may_be_frozen_since=ago(451))
    pending, told = alarm(500, policy), alarm(450, frozen, AlarmKind.MAY_BE_FROZEN)
    held = alarm(450, policy)
    Alarm.objects.filter(pk=held.pk).update(spread_at=None)
    AlarmDelivery.objects.create(alarm=pending, shown="x", next_at=ago(1))
    alarm(1, policy)
    alarm(1, frozen)
    assert left(ages.tick()) == {}
    assert Alarm.objects.filter(pk__in=[pending.pk, told.pk, held.pk]).count() == 3


def test_a_description_goes_with_the_last_run_that_refers_to_it() -> None:
    kept, gone = (
        Description.objects.create(digest=each, document={}, last_seen_at=ago(401))
        for each in ("kept", "gone")
    )
    run = ended(1)
    run.targets.update(description=kept)
    assert left(ages.tick()) == {"descriptions": 1}
    assert list(Description.objects.all()) == [kept]
    assert not Description.objects.filter(pk=gone.pk).exists()


def test_old_entries_of_the_audit_go() -> None:
    factories.alice()
    for days in (401, 399):
        AuditEntry.objects.create(at=ago(days), name="alice", action="changed", kind="policy")

    assert left(ages.tick()) == {"audit": 1}
    assert AuditEntry.objects.get().at > ago(400)


def test_sessions_go_when_they_have_expired() -> None:
    for key, days in (("old", 1), ("young", -1)):
        Session.objects.create(session_key=key, session_data="", expire_date=ago(days))
    assert left(ages.tick()) == {"sessions": 1}
    assert Session.objects.get().session_key == "young"


# What a plan says when it reads a whole table, or sorts what it found.
COSTLY = {"sqlite": ("SCAN", "TEMP B-TREE"), "postgresql": ("Seq Scan", "Sort")}


def test_no_tick_reads_the_whole_history() -> None:
    ended(1)
    with CaptureQueriesContext(connection) as asked:
        ages.tick()
    questions = [each["sql"] for each in asked if "ORDER BY" in each["sql"]]
    assert len(questions) == len(DAYS) + 3  # descriptions and sessions
    for question in questions:
        plan = _plan(question)
        assert not [word for word in COSTLY[connection.vendor] if word in plan], plan


def _plan(question: str) -> str:
    with connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN"
        if connection.vendor == "postgresql":
            explain = "EXPLAIN"
            for way in ("seqscan", "bitmapscan", "sort"):  # all good enough for a small table
                cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(f"{explain} {question}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())
