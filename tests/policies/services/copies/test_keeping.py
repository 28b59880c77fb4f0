"""Copies go by the rules of their place, and never the last, a held one, or one that is not ours."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.errors import NotPermittedError, ThrottledError
from policies.domain.runs.verdict import Consistency
from policies.models import Policy, Run
from policies.selectors import copies
from policies.services.copies import existence, keeping
from policies.services.following import reconciling
from policies.services.retention import ages, holds
from tests.factories import RunFactory
from tests.policies.services.copies.ground import THERE, Copying, later, state
from tests.policies.services.killed import KilledError

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
DAY = timedelta(days=1)


def nights(
    copying: Copying, number: int, consistency: Consistency = Consistency.APPLICATION
) -> list[Run]:
    """Make so many restore points with a copy each, newest first."""
    (rule,) = copying.policy.copy_rules.all()
    newest = clock.now() - timedelta(hours=1)
    type(rule).objects.update(seen_until=newest - 400 * DAY)
    runs = [copying.backed_up(newest - n * DAY, consistency) for n in reversed(range(number))]
    for _ in range(number // 20 + 1):
        copying.turn()
    copying.settle()
    copying.turn()
    return runs[::-1]


def test_what_the_rules_let_go_is_deleted_and_the_source_stays(copying: Copying) -> None:
    copying.rule(keep_daily=2)
    runs = nights(copying, 4)
    copying.clean()

    assert [state(run) for run in runs] == [["completed"], ["completed"], ["deleted"], ["deleted"]]
    assert len(copying.in_aws()) == 2
    assert len(copying.cloud.in_region("us-east-1")) == 4
    assert all(run.targets.get().snapshots.get().state == "completed" for run in runs)


def test_what_goes_is_announced_and_deleted_a_day_later(
    copying: Copying, settings: Settings
) -> None:
    settings.N2W_DELETE_AFTER_HOURS = 24
    copying.rule(keep_daily=2)
    runs = nights(copying, 4)
    copying.clean()
    shown = [copies.of_run(run)[0] for run in runs]
    assert [one.state for one in shown] == ["completed"] * 4
    assert [one.goes_after for one in shown[:2]] == [None, None]
    assert all(one.goes_after for one in shown[2:])
    assert {one.goes_why for one in shown[2:]} == {"older than everything that the rules keep"}
    with later(23 * 60):
        copying.clean()
        assert state(runs[3]) == ["completed"]
    with later(25 * 60):
        copying.clean()
        assert [state(run) for run in runs[2:]] == [["deleted"], ["deleted"]]


@pytest.mark.parametrize("way", ["held", "other rules", "no rules"])
def test_what_stays_by_then_is_announced_anew(
    copying: Copying, settings: Settings, way: str
) -> None:
    settings.N2W_DELETE_AFTER_HOURS = 24
    rule = copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    copying.clean()
    if way == "held":
        holds.hold(old, reason="books", until=None, by="alice")
    else:
        copying.rule(keep_last=2 if way == "other rules" else 0)
    copying.clean()
    (shown,) = copies.of_run(old)
    assert (shown.goes_after, shown.goes_why) == (None, "")

    with later(25 * 60):
        holds.release(old, by="alice") if way == "held" else type(rule).objects.update(keep_last=1)
        copying.clean()
        assert state(old) == ["completed"]
        (shown,) = copies.of_run(old)
        assert shown.goes_after == clock.now() + timedelta(hours=24)


def test_a_clock_that_was_ahead_keeps_no_copy_for_years(
    copying: Copying, settings: Settings
) -> None:
    settings.N2W_DELETE_AFTER_HOURS = 24
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    old.copies.update(goes_after=clock.now() + 900 * DAY, goes_why="x")
    copying.clean()
    with later(25 * 60):
        copying.clean()
        assert state(old) == ["deleted"]


def test_without_rules_every_copy_stays(copying: Copying) -> None:
    copying.rule()
    runs = nights(copying, 3)
    copying.clean()
    assert [state(run) for run in runs] == [["completed"]] * 3


def test_the_last_application_consistent_copy_stays(copying: Copying) -> None:
    rule = copying.rule(keep_last=1)
    old = copying.backed_up(clock.now() - DAY)
    type(rule).objects.update(seen_until=clock.now() - 9 * DAY)
    copying.copied(old)
    new = copying.backed_up(consistency=Consistency.CRASH)
    copying.copied(new)
    copying.clean()
    assert (state(old), state(new)) == (["completed"], ["completed"])


def test_what_is_held_stays_until_it_is_released(copying: Copying) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    holds.hold(old, reason="books", until=None, by="alice")
    copying.clean()
    assert state(old) == ["completed"]
    holds.release(old, by="alice")
    copying.clean()
    assert state(old) == ["deleted"]


def test_a_disabled_policy_keeps_all(copying: Copying) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    copying.policy.enabled = False
    copying.policy.save()
    copying.clean()
    assert state(old) == ["completed"]


@pytest.mark.parametrize("tag", ["n2wbackup:server", "n2wbackup:copy"])
def test_a_snapshot_with_another_tag_is_not_deleted(copying: Copying, tag: str) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    copy = old.copies.get()
    copying.cloud.tag(THERE, [copy.snapshot_id], {tag: "another"})
    copying.clean()

    copy.refresh_from_db()
    assert (copy.state, copy.snapshot_id in copying.in_aws()) == ("deleting", True)
    assert "does not bear the tags" in copy.message


def test_a_process_that_dies_while_deleting_is_gone_on_with(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)

    def dies(*_: object) -> None:
        raise KilledError

    real = copying.deleting.delete

    def deletes_and_dies(region: str, snapshot_id: str) -> None:
        real(region, snapshot_id)
        raise KilledError

    for deed in (dies, deletes_and_dies):
        with monkeypatch.context() as killed:
            killed.setattr(copying.deleting, "delete", deed)
            with pytest.raises(KilledError):
                copying.clean()
        assert state(old) == ["deleting"]
    copying.clean()
    assert (state(old), len(copying.in_aws())) == (["deleted"], 1)


def test_a_refusal_is_tried_again_later(copying: Copying) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    copying.deleting.fail_next("delete", NotPermittedError("Deleting is denied: allow it."))
    copying.clean()
    copying.clean()
    assert state(old) == ["deleting"]
    with later(16):
        copying.clean()
    assert state(old) == ["deleted"]


def test_a_copy_that_is_gone_is_done(copying: Copying) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    copying.cloud.delete_snapshot(old.copies.get().snapshot_id)
    copying.clean()
    assert state(old) == ["deleted"]


def test_a_copy_of_part_of_an_instance_is_no_copy_of_it(copying: Copying) -> None:
    copying.rule(keep_last=1)
    new, old = nights(copying, 2)
    new.targets.update(expected_volume_ids=["vol-1", "vol-2"])
    copying.clean()
    assert (state(new), state(old)) == (["completed"], ["completed"])


def test_a_run_stays_as_long_as_a_copy_of_it(copying: Copying) -> None:
    copying.rule()
    new, old = nights(copying, 2)
    Run.objects.filter(pk=old.pk).update(restore_point=False)
    old.targets.get().snapshots.update(state="gone")
    with later(60 * 24 * 900):
        ages.tick()
        assert Run.objects.filter(pk=old.pk).exists()
        old.copies.update(state="deleted")
        ages.tick()
    assert list(Run.objects.all()) == [new]


def test_removing_a_place_leaves_its_copies(copying: Copying) -> None:
    copying.rule(keep_last=1)
    runs = nights(copying, 2)
    copying.rules()
    copying.clean()
    assert [state(run) for run in runs] == [["completed"]] * 2


def test_the_page_s_plan_is_the_plan(copying: Copying) -> None:
    rule = copying.rule(keep_last=1)
    new, old = nights(copying, 2)
    kept = {verdict.point.key: verdict.keep for verdict in keeping.of_rule(rule)}
    assert kept == {str(new.pk): True, str(old.pk): False}


def test_a_server_that_keeps_all_snapshots_deletes_no_copy(
    copying: Copying, settings: Settings
) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    settings.N2W_KEEP_ALL_SNAPSHOTS = True
    copying.clean()
    assert (state(old), len(copying.in_aws())) == (["completed"], 2)


def test_nothing_goes_because_of_a_copy_that_somebody_deleted(copying: Copying) -> None:
    copying.rule(keep_last=1)
    new, old = nights(copying, 2)
    copying.cloud.delete_snapshot(new.copies.get().snapshot_id)
    copying.clean()
    copying.clean()
    assert (state(new), state(old)) == (["gone"], ["completed"])
    assert copying.in_aws() == [old.copies.get().snapshot_id]
    assert new.events.filter(text__startswith="no longer in AWS: the copy").count() == 1


def test_nothing_begins_while_aws_does_not_answer(copying: Copying) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    copying.cloud.fail_next("describe", ThrottledError("Request limit exceeded."))
    copying.clean()
    assert state(old) == ["completed"]
    copying.clean()
    assert state(old) == ["deleted"]


@pytest.mark.parametrize("trouble", ["frozen", "under way"])
def test_nothing_goes_while_the_policy_is_in_trouble(copying: Copying, trouble: str) -> None:
    copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    if trouble == "frozen":
        Policy.objects.update(may_be_frozen_since=clock.now())
    else:
        RunFactory.create(policy=copying.policy, state="queued")
    copying.clean()
    assert state(old) == ["completed"]


def test_a_rule_that_changes_while_aws_is_asked_is_minded(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = copying.rule(keep_last=1)
    _, old = nights(copying, 2)
    real = copying.cloud.describe

    def changes(*asked: object) -> object:
        type(rule).objects.update(keep_last=9)
        return real(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(copying.cloud, "describe", changes)
    copying.clean()
    assert state(old) == ["completed"]


def test_a_copy_that_is_gone_is_found_once_a_day(copying: Copying) -> None:
    copying.rule()
    new, old = nights(copying, 2)
    copying.cloud.delete_snapshot(new.copies.get().snapshot_id)
    assert existence.compare() == 1
    assert (state(new), state(old)) == (["gone"], ["completed"])
    assert existence.compare() == 0


def test_a_copy_is_no_stray(copying: Copying) -> None:
    copying.rule()
    nights(copying, 2)
    type(copying.policy.account).objects.update(region=THERE)
    assert not [one for one in reconciling.reconcile().findings if one.kind == "stray"]
