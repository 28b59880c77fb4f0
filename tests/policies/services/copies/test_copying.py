"""Copies are made once, whatever dies or is lost; each has a row that says how it stands."""

from datetime import timedelta

import pytest

from n2wbackup.lib import clock
from policies.domain.copies.states import CopyState
from policies.domain.errors import (
    AnswerLostError,
    AwsError,
    NotPermittedError,
    RefusedError,
    ThrottledError,
    UnreachableError,
)
from policies.models import Alarm, Copy, CopyRule, Hold, Run
from policies.selectors import copies as copies_selector
from policies.services.copies import asking, following, rows
from tests.policies.services.copies.ground import OTHER, THERE, Copying, later, state
from tests.policies.services.killed import KilledError

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
LOST = AnswerLostError("No answer came from CopySnapshot.")


@pytest.fixture
def run(copying: Copying) -> Run:
    """Give a restore point of a policy that copies to another region."""
    copying.rule()
    return copying.backed_up()


def held(run: Run) -> int:
    return Hold.objects.filter(run=run, kind="copy", released_at=None).count()


def test_a_snapshot_is_copied_with_the_tags_that_say_what_it_is(copying: Copying, run: Run) -> None:
    copying.turn()

    (copy,) = run.copies.all()
    assert (copy.state, held(run)) == ("pending", 1)
    (made,) = copying.own.tagged(THERE, "n2wbackup:copy", str(copy.pk))
    assert made.snapshot_id == copy.snapshot_id
    assert made.tags["n2wbackup:run"] == str(run.pk)
    assert made.tags["n2wbackup:source"] == copy.source.snapshot_id
    assert made.tags["n2wbackup:policy"] == "policy1"
    assert made.tags["n2wbackup:owner"] == "alice"
    assert copies_selector.usable(run) == []
    copying.settle()
    copying.turn()

    assert (state(run), held(run)) == (["completed"], 0)
    (usable,) = copies_selector.usable(run)
    assert (usable.snapshot_id, usable.region) == (copy.snapshot_id, THERE)
    assert usable.volume_id == copy.source.volume_id
    for _ in range(3):
        copying.turn()
    assert len(copying.in_aws()) == 1


def test_only_runs_after_the_rule_are_copied(copying: Copying) -> None:
    early = copying.backed_up(clock.now() - timedelta(hours=1))
    copying.rule()
    copying.turn()
    assert state(early) == []


def test_a_rule_for_where_the_snapshots_are_copies_nothing(copying: Copying) -> None:
    copying.rule(region="us-east-1")
    run = copying.backed_up()
    copying.turn()
    assert state(run) == []


def test_a_snapshot_is_shared_for_its_copy_and_no_longer(copying: Copying, away: CopyRule) -> None:
    run = copying.backed_up()
    source = run.targets.get().snapshots.get().snapshot_id
    copying.turn()
    assert copying.world.shared[source] == {OTHER}
    assert state(run) == ["pending"]
    copying.settle()
    copying.turn()

    assert copying.world.shared[source] == set()
    assert [one.account for one in copies_selector.usable(run)] == [copying.second]
    assert copying.far.in_region(THERE)
    assert not copying.cloud.in_region(THERE)


def test_a_source_stays_shared_while_another_copy_needs_it(copying: Copying) -> None:
    copying.rules(
        {"region": THERE, "account": copying.second},
        {"region": "eu-west-1", "account": copying.second},
    )
    run = copying.backed_up()
    source = run.targets.get().snapshots.get().snapshot_id
    copying.turn()
    first = run.copies.order_by("pk").first()
    assert first is not None
    rows.fail(first, "by a test", clock.now())
    following.unshare()
    assert copying.world.shared[source] == {OTHER}
    copying.settle()
    copying.turn()
    assert copying.world.shared[source] == set()


@pytest.mark.parametrize("done", [True, False])
def test_a_lost_answer_is_settled_by_the_tag_and_never_asked_twice_blindly(
    copying: Copying, run: Run, done: bool
) -> None:
    copying.own.fail_next("copy", LOST, done=done)
    copying.turn()
    assert (state(run), len(copying.in_aws())) == (["asking"], int(done))
    copying.turn()
    assert len(copying.in_aws()) == int(done)
    if not done:
        with later(4):
            copying.turn()
        assert copying.in_aws() == []
        with later(6):
            copying.turn()
    assert (state(run), len(copying.in_aws())) == (["pending"], 1)


@pytest.mark.parametrize("step", ["before the call", "after the call", "while sharing"])
def test_a_process_that_dies_at_any_step_leaves_one_copy(
    copying: Copying, away: CopyRule, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run = copying.backed_up()
    real = copying.other.copy

    def dies(*asked: object) -> str:
        if step == "after the call":
            real(*asked)  # type: ignore[arg-type]
        raise KilledError

    with monkeypatch.context() as killed:
        if step == "while sharing":
            killed.setattr(copying.own, "share", dies)
        else:
            killed.setattr(copying.other, "copy", dies)
        with pytest.raises(KilledError):
            copying.turn()
    assert state(run) == ["asking"]
    for minutes in (1, 6, 7):
        with later(minutes):
            copying.turn()
    assert (state(run), len(copying.in_aws())) == (["pending"], 1)
    copying.settle()
    copying.turn()
    assert state(run) == ["completed"]
    assert not any(copying.world.shared.values())


def test_a_process_that_dies_while_planning_plans_the_rest_later(
    copying: Copying, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as killed:
        killed.setattr("policies.services.copies.planning._seen", dies)
        with pytest.raises(KilledError):
            copying.turn()
    copying.turn()
    copying.turn()
    assert (state(run), len(copying.in_aws()), held(run)) == (["pending"], 1, 1)


def test_two_servers_make_one_copy(
    copying: Copying, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying.own.fail_next("copy", ThrottledError("Too often."))
    copying.turn()
    row = Copy.objects.get()
    real = copying.own.copy

    def meanwhile(*asked: object) -> str:
        with monkeypatch.context() as one:
            one.setattr(copying.own, "copy", real)
            asking.tick()
        return real(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(copying.own, "copy", meanwhile)
    with later(6):
        asking.tick()
    assert Copy.objects.get() == row
    assert len(copying.in_aws()) == 1


@pytest.mark.parametrize(
    "error",
    [
        ThrottledError("Too often."),
        UnreachableError("No connection."),
        AwsError("Too many copies.", "ResourceLimitExceeded"),
    ],
)
def test_what_passes_is_tried_again_and_counts_as_no_failure(
    copying: Copying, run: Run, error: AwsError
) -> None:
    for minutes in (0, 10, 20, 30, 40):
        copying.own.fail_next("copy", error)
        with later(minutes):
            copying.turn()
        assert state(run) == ["planned"]
    assert held(run) == 1
    with later(60):
        copying.turn()
    assert (state(run), Alarm.objects.count()) == (["pending"], 0)


def test_what_does_not_pass_fails_after_three_times_with_an_alarm(
    copying: Copying, run: Run
) -> None:
    denied = NotPermittedError("Copying is denied: allow it.", "UnauthorizedOperation")
    for minutes in (0, 10, 30):
        copying.own.fail_next("copy", denied)
        with later(minutes):
            copying.turn()
    (copy,) = run.copies.all()
    assert (copy.state, copy.message) == ("failed", "Copying is denied: allow it.")
    assert (held(run), copying.in_aws()) == (0, [])
    (alarm,) = Alarm.objects.all()
    assert alarm.kind == "copy_failed"
    assert THERE in alarm.title
    assert "Copying is denied" in alarm.text


def test_what_passes_does_not_pass_for_ever(copying: Copying, run: Run) -> None:
    copying.own.fail_next("copy", UnreachableError("No connection."))
    copying.turn()
    copying.own.fail_next("copy", UnreachableError("No connection."))
    with later(60 * 25):
        copying.turn()
    assert state(run) == ["failed"]


def test_a_copy_that_ends_in_an_error_fails_and_what_is_left_is_deleted(
    copying: Copying, run: Run
) -> None:
    copying.turn()
    copying.settle(fails=True)
    copying.turn()
    (copy,) = run.copies.all()
    assert copy.state == "failed"
    assert "AWS says" in copy.message
    assert Alarm.objects.get().kind == "copy_failed"
    copying.clean()
    assert copying.in_aws() == []
    copy.refresh_from_db()
    assert (copy.state, copy.snapshot_id) == ("failed", "")

    rows.again(copy)
    copying.copied(run)
    assert len(copying.in_aws()) == 1


def test_only_a_failed_copy_is_made_again(copying: Copying, run: Run) -> None:
    copying.copied(run)
    (copy,) = run.copies.all()
    with pytest.raises(RefusedError, match="has not failed"):
        rows.again(copy)
    assert (state(run), held(run)) == (["completed"], 0)


def test_a_time_that_aws_did_not_keep_is_told_once(copying: Copying) -> None:
    copying.rule(completion_minutes=15)
    run = copying.backed_up()
    copying.turn()
    assert copying.own.requests[0].completion_minutes == 15
    with later(14):
        copying.turn()
    assert not Alarm.objects.exists()
    with later(16):
        copying.turn()
        copying.turn()
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.count) == ("copy_late", 1)
    copying.settle()
    with later(20):
        copying.turn(3)
    assert (state(run), Alarm.objects.count()) == (["completed"], 1)


def test_a_copy_that_somebody_deleted_fails(copying: Copying, run: Run) -> None:
    copying.turn()
    (made,) = copying.in_aws()
    copying.cloud.delete_snapshot(made)
    copying.turn()
    assert state(run) == ["pending"]
    with later(16):
        copying.turn(3)
    assert state(run) == ["failed"]


def test_progress_is_asked_for_in_one_call(copying: Copying) -> None:
    copying.rule()
    for _ in range(5):
        copying.backed_up()
    copying.turn()
    copying.cloud.calls.clear()
    copying.turn()
    asked = [call for call in copying.cloud.calls if call.method == "describe"]
    assert [len(call.ids) for call in asked] == [5]


def test_an_account_of_somebody_else_is_never_used(copying: Copying, run: Run) -> None:
    copying.own.fail_next("copy", ThrottledError("Too often."))
    copying.turn()
    from tests.factories import AccountFactory, charlie  # noqa: PLC0415

    strange = AccountFactory.create(owner=charlie(), name="vault")
    Copy.objects.update(account=strange)
    with later(10):
        copying.turn()
    (copy,) = run.copies.all()
    assert (copy.state, copying.in_aws()) == ("failed", [])
    assert "is not alice's" in copy.message


def test_a_state_that_may_not_follow_is_an_error(copying: Copying, run: Run) -> None:
    copying.copied(run)
    (copy,) = run.copies.all()
    with pytest.raises(ValueError, match="never"):
        rows.move(copy, CopyState.PENDING)
