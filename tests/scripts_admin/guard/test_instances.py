"""Scripts on instances in a window: the order, the arguments, and what becomes of them when processes die."""

import os
import signal

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import instances, spool
from tests.scripts_admin.guard import far
from tests.scripts_admin.guard.far import Scripts, guarded
from tests.scripts_admin.guard.stage import SECONDS, Stage, until

MARK = Scripts("echo before >> marks", 'echo "after $1" >> marks')


def of(name: str, before: str = "true", **spans: float) -> Scripts:
    """Scripts that write their name into the marks."""
    return Scripts(
        f"echo before {name} >> marks; {before}", f'echo "after {name} $1" >> marks', **spans
    )


def test_a_window_opens_from_here_to_there_and_closes_from_there_to_here(stage: Stage) -> None:
    stage.script("before", "echo before here >> marks")
    stage.script("after", 'echo "after here $1" >> marks')

    with guarded(stage, a=of("a", "echo printed")) as (guard, distance):
        guard.go()
        assert guard.before(SECONDS) == Outcome.SUCCEEDED
        assert guard.instances == {"a": Outcome.SUCCEEDED}
        assert stage.mark("marks") == "before here\nbefore a\n"
        assert guard.thaw(SECONDS) == "worker"
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks").splitlines()[2:] == ["after a 1", "after here 1"]
    there = distance.there("a")
    assert (there.thaw_by, there.argument, there.over) == ("worker", "1", "worker")
    assert there.afters[1].outcome == Outcome.SUCCEEDED
    assert there.outputs == {"before.1.stdout": "printed\n"}
    assert stage.standing().is_thawed


def test_instances_need_no_script_of_the_server(stage: Stage) -> None:
    with guarded(stage, a=of("a"), b=of("b")) as (guard, _):
        guard.go()
        assert guard.before(SECONDS) == Outcome.MISSING
        assert sorted(stage.mark("marks").splitlines()) == ["before a", "before b"]
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert sorted(stage.mark("marks").splitlines()[2:]) == ["after a 1", "after b 1"]


def test_an_instance_whose_before_failed_gets_0_and_the_others_keep_theirs(stage: Stage) -> None:
    stage.script("after", 'echo "after here $1" >> marks')

    with guarded(stage, a=of("a", "exit 3"), b=of("b")) as (guard, distance):
        guard.go()
        guard.before(SECONDS)
        assert guard.instances == {"a": Outcome.FAILED, "b": Outcome.SUCCEEDED}
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    marks = stage.mark("marks").splitlines()
    assert sorted(marks[2:4]) == ["after a 0", "after b 1"]
    assert marks[4:] == ["after here 0"]
    assert distance.there("a").code == "3"


def test_where_the_servers_own_before_fails_nothing_is_frozen_on_instances(stage: Stage) -> None:
    stage.script("before", "exit 1")
    stage.script("after", 'echo "after here $1" >> marks')

    with guarded(stage, a=of("a")) as (guard, distance):
        guard.go()
        assert guard.before(SECONDS) == Outcome.FAILED
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "after here 0\n"
    assert distance.there("a").outcome == Outcome.NOT_RUN
    assert stage.standing().is_thawed


def test_a_refused_instance_takes_the_1_from_the_servers_after_and_from_no_other(
    stage: Stage,
) -> None:
    stage.script("after", 'echo "after here $1" >> marks')
    scripts = {"a": of("a"), "b": of("b")}
    distance = far.Distance(stage, scripts)
    distance.arm()
    distance.answers.armed.pop("b")
    stage.spool(distance.record())
    guard = distance.guard()
    guard.wait_until_ready()

    guard.go()
    guard.before(SECONDS)
    assert guard.instances == {"a": Outcome.SUCCEEDED, "b": Outcome.CRASHED}
    guard.thaw(SECONDS)
    guard.wait_until_over(SECONDS)
    guard.release()
    until(lambda: far.is_gone(distance.carrier.pid))

    assert "after a 1" in stage.mark("marks")
    assert "after here 0" in stage.mark("marks")


def test_an_after_that_fails_leaves_the_instance_owed(stage: Stage) -> None:
    failing = "[ -e mended ] || exit 4; echo mended >> marks"
    with guarded(stage, a=Scripts("true", failing), b=of("b")) as (guard, distance):
        guard.go()
        guard.before(SECONDS)
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)
        assert distance.there("a").afters[1].exit_code == 4
        assert stage.standing().owed == ("a",)
        assert stage.standing().failing

    (stage.folder / "mended").touch()
    until(lambda: "mended" in stage.mark("marks"))  # the far side tries again by itself


def test_the_far_sides_thaw_by_themselves_when_the_carrier_is_killed(stage: Stage) -> None:
    stage.script("after", 'echo "after here $1" >> marks')

    with guarded(stage, a=of("a"), b=of("b")) as (guard, distance):
        guard.go()
        guard.before(SECONDS)
        os.kill(distance.carrier.pid, signal.SIGKILL)
        until(lambda: stage.mark("marks").count("after") == 2)
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    marks = stage.mark("marks").splitlines()
    assert sorted(marks[2:4]) == ["after a 0", "after b 0"]
    assert set(stage.standing().owed) == {"a", "b"}  # nobody has heard it yet


def test_the_far_sides_thaw_by_themselves_when_the_guard_is_killed(stage: Stage) -> None:
    with guarded(stage, a=of("a"), b=of("b")) as (guard, distance):
        guard.go()
        guard.before(SECONDS)
        os.kill(guard.pid, signal.SIGKILL)
        until(lambda: stage.mark("marks").count("after") == 2)
        until(lambda: far.is_gone(distance.carrier.pid))

    assert sorted(stage.mark("marks").splitlines()[2:]) == ["after a 0", "after b 0"]
    assert set(stage.standing().owed) == {"a", "b"}


def test_the_guard_thaws_all_when_the_worker_lets_go(stage: Stage) -> None:
    with guarded(stage, a=of("a"), b=of("b")) as (guard, distance):
        guard.go()
        guard.before(SECONDS)
        guard.release()
        until(lambda: stage.mark("marks").count("after") == 2)

    assert stage.journal.thaw_by == "lost"
    assert distance.there("a").argument == "1"


def test_gates_close_when_the_worker_lets_go_before_the_window(stage: Stage) -> None:
    with guarded(stage, a=of("a")):
        pass

    assert stage.mark("marks") == ""
    assert stage.standing().owed == ()


def test_nobody_else_has_a_copy_of_the_carriers_sockets(stage: Stage) -> None:
    """A copy would keep a connection open that must end with its process."""
    stage.script("before", "until [ -e go_on ]; do sleep 0.01; done")
    stage.script("after", "true")
    with guarded(stage, a=of("a")) as (guard, distance):
        guard.go()
        until(lambda: stage.attempt(Phase.BEFORE).was_ordered)
        carriers = far.descriptors(distance.carrier.pid, "socket:")
        assert len(carriers) == 2  # to the guard, and to its far side
        before = stage.attempt(Phase.BEFORE).process
        assert before is not None
        for pid in (os.getpid(), guard.pid):
            assert not set(carriers) & set(far.descriptors(pid, "socket:"))
        until(lambda: far.descriptors(before.pid, "socket:") == [])
        (stage.folder / "go_on").touch()
        guard.before(SECONDS)


def test_a_wrapper_that_is_killed_while_frozen_is_followed_by_one_that_says_so(
    stage: Stage,
) -> None:
    with guarded(stage, a=of("a"), b=of("b")) as (guard, distance):
        guard.go()
        guard.before(SECONDS)
        os.kill(distance.answers.armed["a"].pid, signal.SIGKILL)
        until(lambda: distance.there("a").over)
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert sorted(stage.mark("marks").splitlines()[2:]) == ["after a 0", "after b 1"]
    assert distance.there("a").thaw_by == "orphan"
    assert stage.standing().is_thawed


def test_a_wrapper_that_was_stopped_is_woken_in_a_second_channel(stage: Stage) -> None:
    with guarded(stage, a=of("a"), b=of("b")) as (guard, distance):
        guard.go()
        guard.before(SECONDS)
        os.kill(distance.answers.armed["a"].pid, signal.SIGSTOP)
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    marks = stage.mark("marks").splitlines()[2:]
    assert sorted(line[:7] for line in marks) == ["after a", "after b"]
    assert stage.standing().is_thawed


def test_the_servers_after_is_tried_again_in_time_although_an_output_does_not_come(
    stage: Stage,
) -> None:
    stage.script("after", "kill -STOP $(cat carrier); exit 1")

    with guarded(stage, a=of("a", "echo printed")) as (guard, distance):
        (stage.folder / "carrier").write_text(str(distance.carrier.pid))
        guard.go()
        guard.before(SECONDS)
        guard.thaw(SECONDS)
        until(lambda: stage.journal.afters and stage.journal.afters[-1].ended_boot)
        until(lambda: not spool.is_held(stage.spooled), seconds=instances.FETCH_SECONDS / 2)
        os.kill(distance.carrier.pid, signal.SIGCONT)

    due = stage.standing().due
    assert due is not None
    assert due.attempt == 2
