"""Following snapshots: until each is completed or failed, and lost answers are settled by tag."""

from datetime import datetime, timedelta

import pytest
import time_machine

from n2wbackup.lib import clock
from policies.domain.errors import AnswerLostError, RejectedError, ThrottledError
from policies.domain.runs.sequence import State
from policies.models import Policy, Run, RunSnapshot, RunTarget
from policies.ports import Snapshot
from policies.services.following import polling
from tests import factories
from tests.policies.services.backup import Backup, snapshots_of, state, story, target

LOST = AnswerLostError("No answer came from CreateSnapshots: it may have been done.")


def at(start: datetime, minutes: float) -> time_machine.travel:
    return time_machine.travel(start + timedelta(minutes=minutes), tick=False)


@pytest.fixture
def waiting(backup: Backup) -> Run:
    backup.scripts()
    run = backup.window()
    assert run.state == State.WAITING
    return run


def test_a_run_waits_while_anything_is_pending(backup: Backup, waiting: Run) -> None:
    assert backup.settle(waiting).state == State.WAITING

    backup.cloud.advance()

    assert backup.settle(waiting).state == State.COMPLETING
    assert {s.state for s in snapshots_of(waiting)} == {"completed"}
    assert {s.progress for s in snapshots_of(waiting)} == {100}


def test_progress_is_entered(backup: Backup, waiting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    half = {s.snapshot_id: Snapshot(s.snapshot_id, s.volume_id, "pending", 50)
            for s in snapshots_of(waiting)}  # fmt: skip
    monkeypatch.setattr(backup.cloud, "describe", lambda *_: half)

    backup.settle(waiting)

    assert {(s.state, s.progress) for s in snapshots_of(waiting)} == {("pending", 50)}


def test_many_runs_are_asked_for_in_one_call(backup: Backup, waiting: Run) -> None:
    other = factories.RunFactory.create(
        policy=factories.PolicyFactory.create(owner=backup.policy.owner), state=State.WAITING
    )
    factories.RunSnapshotFactory.create(
        target=factories.RunTargetFactory.create(run=other), volume_id="vol-other"
    )

    polling.poll()

    assert [len(call.ids) for call in backup.calls("describe")] == [3]


def test_more_than_two_hundred_are_asked_for_in_batches(backup: Backup, waiting: Run) -> None:
    factories.RunSnapshotFactory.create_batch(250, target=target(waiting))

    polling.poll()

    assert [len(call.ids) for call in backup.calls("describe")] == [200, 52]


def test_older_snapshots_are_looked_at_less_often(backup: Backup, waiting: Run) -> None:
    asked = lambda: len(backup.calls("describe"))  # noqa: E731 - read at once
    now = clock.now()
    with at(now, 0):
        polling.poll(1)
    assert asked() == 1
    with at(now, 3):
        polling.poll(1)
        assert asked() == 1
        polling.poll(3)
        assert asked() == 2
    with at(now, 11):
        polling.poll(3)
        assert asked() == 2
        polling.poll(12)
        assert asked() == 3


def test_an_error_fails_the_target_and_complete_gets_0(backup: Backup, waiting: Run) -> None:
    backup.cloud.advance("error")

    run = backup.complete(backup.settle(waiting))

    assert (run.state, run.consistency) == (State.FAILED, "none")
    assert target(run).state == RunTarget.State.FAILED
    assert "Not every snapshot was completed: snap-" in run.reason
    assert backup.marks[-1] == "complete 0"


def test_one_error_of_a_set_leaves_the_set_not_whole(backup: Backup, waiting: Run) -> None:
    backup.cloud.advance()
    first, second = snapshots_of(waiting)
    first.state = RunSnapshot.State.ERROR
    first.save()

    run = backup.complete(backup.settle(waiting))

    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert backup.marks[-1] == "complete 0"
    assert first.snapshot_id in run.reason
    assert second.snapshot_id not in run.reason


def test_a_snapshot_absent_in_three_polls_over_five_minutes_has_failed(
    backup: Backup, waiting: Run
) -> None:
    lost = snapshots_of(waiting)[0]
    backup.cloud.advance()
    backup.cloud.delete_snapshot(lost.snapshot_id)
    now = clock.now()

    for minutes in (0, 0.1, 0.2, 0.3, 4.9):  # often enough, but not long enough
        with at(now, minutes):
            backup.settle(waiting)
    assert waiting.state == State.WAITING
    with at(now, 5.1):
        backup.settle(waiting)

    lost.refresh_from_db()
    assert lost.state == RunSnapshot.State.MISSING
    assert waiting.state == State.COMPLETING
    assert backup.complete(waiting).state == State.PARTIAL


def test_a_snapshot_absent_long_but_seldom_is_still_looked_for(
    backup: Backup, waiting: Run
) -> None:
    lost = snapshots_of(waiting)[0]
    backup.cloud.delete_snapshot(lost.snapshot_id)
    now = clock.now()

    for minutes in (0, 6):
        with at(now, minutes):
            backup.settle(waiting)

    lost.refresh_from_db()
    assert (lost.state, lost.absent_polls) == (RunSnapshot.State.PENDING, 2)


def test_a_snapshot_that_is_seen_again_is_counted_anew(
    backup: Backup, waiting: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, describe = clock.now(), backup.cloud.describe
    for minutes, seen in ((0, False), (0.1, False), (0.2, True), (5.3, False), (5.4, False)):
        monkeypatch.setattr(backup.cloud, "describe", describe if seen else lambda *_: {})
        with at(now, minutes):
            backup.settle(waiting)

    assert waiting.state == State.WAITING
    assert {s.absent_polls for s in snapshots_of(waiting)} == {2}


def test_a_poll_that_aws_refuses_says_nothing_about_the_snapshots(
    backup: Backup, waiting: Run
) -> None:
    now = clock.now()
    for minutes in (0, 3, 6, 9):
        backup.cloud.fail_next("describe", ThrottledError("The rate was exceeded."))
        with at(now, minutes):
            polling.poll()

    assert {(s.state, s.absent_polls) for s in snapshots_of(waiting)} == {("pending", 0)}


@pytest.mark.parametrize("answers", [True, False])
def test_a_snapshot_that_takes_too_long_has_failed(
    backup: Backup, waiting: Run, answers: bool
) -> None:
    Policy.objects.update(snapshot_timeout_hours=2)
    now = clock.now()
    with at(now, 119):
        assert backup.settle(waiting).state == State.WAITING
    if not answers:
        backup.cloud.fail_next("describe", ThrottledError("The rate was exceeded."))
    with at(now, 121):
        backup.settle(waiting)

    assert {s.state for s in snapshots_of(waiting)} == {"timed_out"}
    assert backup.complete(waiting).state == State.FAILED
    assert backup.marks[-1] == "complete 0"


def lost(backup: Backup, *, done: bool) -> Run:
    backup.scripts()
    backup.cloud.fail_next("fire", LOST, done=done)
    run = backup.window()
    assert target(run).state == RunTarget.State.UNKNOWN
    return run


def test_a_lost_answer_is_adopted_by_its_tag(backup: Backup) -> None:
    run = lost(backup, done=True)

    backup.settle(run)
    assert len(snapshots_of(run)) == 2
    assert target(run).state == RunTarget.State.FIRED
    backup.cloud.advance()
    run = backup.complete(backup.settle(run))

    # Nobody knows whether they were created before the thaw.
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "found by their tag" in run.reason
    assert len(backup.calls("fire")) == 1


def test_a_run_whose_answer_cannot_be_looked_for_keeps_no_other_waiting(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = factories.PolicyFactory.create(name="earlier")
    broken = factories.RunTargetFactory.create(run__policy=earlier, state=RunTarget.State.UNKNOWN)
    run = lost(backup, done=True)
    settled = polling._look_for_answer

    def look(target: RunTarget, now: datetime, silent: set[tuple[int, str]]) -> None:
        if target == broken:
            raise ValueError("broken")
        settled(target, now, silent)

    monkeypatch.setattr(polling, "_look_for_answer", look)

    polling.poll()

    assert target(run).state == RunTarget.State.FIRED


def test_a_lost_answer_of_a_call_that_did_nothing_is_refused_after_five_minutes(
    backup: Backup,
) -> None:
    run = lost(backup, done=False)
    now = clock.now()

    with at(now, 4.9):
        assert backup.settle(run).state == State.WAITING
    with at(now, 5.1):
        backup.settle(run)

    assert target(run).state == RunTarget.State.REFUSED
    assert "none was created" in target(run).reason
    assert backup.complete(run).state == State.FAILED
    assert backup.marks == ["before", "after 1", "complete 0"]


def test_a_lost_answer_of_half_a_set_is_waited_for_and_then_taken_as_it_is(
    backup: Backup,
) -> None:
    run = lost(backup, done=True)
    half = backup.cloud.of_run("us-east-1", run.server, str(run.pk))[0]
    backup.cloud.delete_snapshot(half.snapshot_id)
    now = clock.now()

    with at(now, 1):
        assert backup.settle(run).state == State.WAITING
    assert snapshots_of(run) == []
    backup.cloud.advance()
    with at(now, 6):
        backup.settle(run)
    with at(now, 7):
        backup.settle(run)

    run = backup.complete(run)
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert f"AWS created no snapshot of {half.volume_id}" in run.reason


def test_a_lost_answer_stays_open_while_aws_does_not_say(backup: Backup) -> None:
    run = lost(backup, done=True)
    backup.cloud.fail_next("of_run", RejectedError("AWS is out of order."))

    with at(clock.now(), 6):
        backup.settle(run)
    assert target(run).state == RunTarget.State.UNKNOWN

    backup.settle(run)
    assert target(run).state == RunTarget.State.FIRED


def test_an_account_that_does_not_answer_costs_one_call_a_turn(backup: Backup) -> None:
    """Each call may wait for a timeout, and the runs of all owners are followed one after the other."""
    for _ in range(4):
        factories.RunTargetFactory.create(
            run=factories.RunFactory.create(
                policy=backup.policy, state=State.FAILED, ended_at=clock.now()
            ),
            state=RunTarget.State.UNKNOWN,
        )
    backup.cloud.fail_next("of_run", RejectedError("AWS is out of order."))

    polling.settle_lost_answers(clock.now())

    assert len(backup.calls("of_run")) == 1


def test_snapshots_of_another_run_are_never_adopted(backup: Backup) -> None:
    other = backup.to_end()
    with at(clock.now(), 1):
        run = lost(backup, done=False)
    with at(clock.now(), 8):
        backup.settle(run)

    assert target(run).state == RunTarget.State.REFUSED
    assert len(snapshots_of(other)) == 2


def test_a_run_that_is_thawing_is_followed_but_not_settled(backup: Backup) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    backup.cloud.advance()

    polling.poll()

    assert state(run) == State.THAWING
    assert {s.state for s in snapshots_of(run)} == {"completed"}


def test_settling_tells_the_history(backup: Backup, waiting: Run) -> None:
    backup.cloud.advance()

    backup.settle(waiting)

    assert story(waiting)[-1] == "every snapshot is completed or failed"


KEY_DENIED = "Given key ID is not accessible"


def test_what_aws_says_of_a_failed_snapshot_stands_in_the_reason(
    backup: Backup, waiting: Run
) -> None:
    backup.cloud.advance("error", f"{KEY_DENIED}.\n")

    run = backup.complete(backup.settle(waiting))

    first, second = snapshots_of(run)
    assert run.reason == (
        f"{backup.instance.instance_id}: Not every snapshot was completed: {first} (error: AWS says "
        f'"{KEY_DENIED}"), {second} (error: AWS says "{KEY_DENIED}"). Allow the account to use the volumes\' KMS '
        "keys, then run the policy again."
    )


def test_what_aws_says_is_kept_short_and_storable(backup: Backup, waiting: Run) -> None:
    backup.cloud.advance("error", "a\0b " + "c" * 10_000)

    run = backup.complete(backup.settle(waiting))

    assert r"a\x00b ccc" in run.reason
    assert len(run.reason) < 1_000


def test_a_lost_answers_text_gives_way_to_what_aws_has_told_since(backup: Backup) -> None:
    run = lost(backup, done=True)
    backup.settle(run)
    assert "No answer came" not in target(run).reason
    backup.cloud.advance("error", KEY_DENIED)

    run = backup.complete(backup.settle(run))

    assert "No answer came" not in run.reason
    assert "found by their tag" in run.reason
    assert KEY_DENIED in run.reason
