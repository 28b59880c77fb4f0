"""Real guards and real scripts: a window when all goes well, and when a script fails."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import spool
from tests.ground import processes
from tests.scripts_admin.guard.stage import BRIEFLY, SECONDS, Stage, gone, keep, until

AFTER = 'echo "after $1" >> marks'
FREEZE = "echo before >> marks"


def test_before_runs_without_an_argument_and_after_with_1_when_it_succeeded(stage: Stage) -> None:
    stage.script("before", 'echo "before $#" >> marks; echo out; echo err >&2')
    stage.script("after", AFTER)

    assert keep(stage) == Outcome.SUCCEEDED

    assert stage.mark("marks") == "before 0\nafter 1\n"
    before = stage.attempt(Phase.BEFORE)
    assert (before.outcome, before.exit_code, before.script) == ("succeeded", 0, "before_p.sh")
    assert (before.argument, before.stdout, before.stderr) == (None, "out\n", "err\n")
    assert stage.attempt(Phase.AFTER).argument == "1"
    assert stage.journal.thaw_by == "worker"
    assert stage.standing().due is None


def test_nothing_runs_before_go(stage: Stage) -> None:
    stage.script("before", FREEZE)
    stage.script("after", AFTER)

    with stage.guarded():
        assert set(stage.journal.attempts) == {("before", 1), ("after", 1)}
        assert not any(each.was_ordered for each in stage.journal.attempts.values())

    assert stage.mark("marks") == ""


def test_the_guard_is_forked_from_a_parent_that_has_it_preloaded(stage: Stage) -> None:
    stage.spool()
    guard = stage.guard()

    preloaded = guard.wait_until_ready()
    guard.release()

    assert preloaded is True


@pytest.mark.parametrize(
    ("body", "exit_code"), [("exit 3", 3), ("kill -KILL $$", -signal.SIGKILL), ("exit 255", 255)]
)
def test_a_before_that_fails_gives_after_0(stage: Stage, body: str, exit_code: int) -> None:
    stage.script("before", body)
    stage.script("after", AFTER)

    assert keep(stage) == Outcome.FAILED

    assert stage.attempt(Phase.BEFORE).exit_code == exit_code
    assert stage.mark("marks") == "after 0\n"
    assert stage.standing().due is None  # before ended by itself: one after is enough


def test_a_before_that_takes_too_long_is_ended_and_after_runs_twice(stage: Stage) -> None:
    stage.script("before", "echo $$ > pid; sleep 60")
    stage.script("after", AFTER)

    assert keep(stage, before_seconds=BRIEFLY) == Outcome.TIMED_OUT

    assert gone(stage.pid("pid"))
    assert stage.mark("marks") == "after 0\n"
    due = stage.standing().due
    assert due is not None
    cut = stage.attempt(Phase.BEFORE).ended_boot or 0.0
    assert (due.attempt, due.argument) == (2, "0")
    assert due.at == pytest.approx(cut + BRIEFLY)
    assert stage.thaw().outcome == Outcome.SUCCEEDED
    assert stage.mark("marks") == "after 0\nafter 0\n"
    assert stage.standing().due is None


def test_a_before_that_ignores_term_is_killed_with_all_its_children(stage: Stage) -> None:
    stage.script("before", "trap '' TERM; sleep 61 & echo $! > child; echo $$ > pid; sleep 60; :")
    stage.script("after", AFTER)

    assert keep(stage, before_seconds=BRIEFLY) == Outcome.TIMED_OUT

    assert gone(stage.pid("pid"))
    assert gone(stage.pid("child"))
    assert stage.mark("marks") == "after 0\n"


def test_a_child_of_before_that_ignores_term_is_dead_before_after_runs(stage: Stage) -> None:
    stage.script("before", "(trap '' TERM; exec sleep 61) & echo $! > child; sleep 60; :")
    stage.script("after", 'grep State /proc/$(cat child)/status >> marks; echo "after $1" >> marks')

    keep(stage, before_seconds=BRIEFLY)

    marks = stage.mark("marks").splitlines()
    assert marks[-1] == "after 0"
    assert all("zombie" in line for line in marks[:-1])


def test_a_child_that_holds_stdout_delays_nothing(stage: Stage) -> None:
    stage.script("before", "sleep 60 & echo $! > child")
    stage.script("after", AFTER)

    assert keep(stage) == Outcome.SUCCEEDED

    child = stage.pid("child")
    assert not gone(child)  # it also outlives the window
    os.kill(child, signal.SIGKILL)
    assert stage.mark("marks") == "after 1\n"
    before = stage.attempt(Phase.BEFORE)
    assert (before.ended_boot or 0.0) - (before.ordered_boot or 0.0) < SECONDS


def test_the_holder_of_a_lock_lives_on_and_writes_far_more_than_a_pipe_holds(stage: Stage) -> None:
    stage.script(
        "before",
        "(until [ -e frozen ]; do sleep 0.01; done; head -c 300000 /dev/zero | tr '\\0' x;"
        " echo $BASHPID > wrote; exec sleep 60) &",
    )
    # Check that it is alive: a zombie could be signalled too.
    stage.script(
        "after",
        'grep -q "^State:.[SR]" /proc/$(cat wrote)/status && echo "alive $1" >> marks\n'
        "kill $(cat wrote)",
    )

    with stage.guarded() as guard:
        guard.go()
        assert guard.before(SECONDS) == Outcome.SUCCEEDED
        (stage.folder / "frozen").touch()
        stage.pid("wrote")  # only the guard could read its bytes
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "alive 1\n"
    assert stage.attempt(Phase.BEFORE).stdout.count("x") == 300000


@pytest.mark.parametrize("shebang", ["#!/no/such/interpreter", "no first line at all"])
def test_a_before_that_cannot_be_started_has_crashed_and_says_why(
    stage: Stage, shebang: str
) -> None:
    stage.script("before", FREEZE, shebang=shebang)
    stage.script("after", AFTER)

    assert keep(stage) == Outcome.CRASHED

    before = stage.attempt(Phase.BEFORE)
    assert before.exit_code is None
    assert before.stderr.startswith("before_p.sh could not be started: ")
    assert stage.mark("marks") == "after 0\n"


def test_a_before_that_lost_its_permission_has_crashed(stage: Stage) -> None:
    path = stage.script("before", FREEZE)
    stage.script("after", AFTER)
    stage.spool()
    path.chmod(0o644)

    with stage.guarded() as guard:
        guard.go()
        assert guard.before(SECONDS) == Outcome.CRASHED
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert "Permission denied" in stage.attempt(Phase.BEFORE).stderr
    assert stage.mark("marks") == "after 0\n"


def test_the_copy_in_the_spool_thaws_when_the_folder_is_gone(stage: Stage, tmp_path: Path) -> None:
    stage.script("before", FREEZE)
    stage.script("after", f'echo "after $1" >> {tmp_path}/marks')

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        shutil.rmtree(stage.folder)
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert (tmp_path / "marks").read_text() == "after 1\n"
    assert stage.attempt(Phase.AFTER).outcome == Outcome.SUCCEEDED


def test_the_file_in_the_folder_is_run_while_it_is_there(stage: Stage) -> None:
    stage.script("before", FREEZE)
    after = stage.script("after", AFTER)

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        after.write_text('#!/bin/bash\necho "mended $1" >> marks\n')
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "before\nmended 1\n"


@pytest.mark.parametrize("way", ["removed", "unusable", "led out"])
def test_the_copy_in_the_spool_thaws_when_the_file_cannot_be_run(
    stage: Stage, tmp_path: Path, way: str
) -> None:
    stage.script("before", FREEZE)
    after = stage.script("after", AFTER)
    other = tmp_path / "other.sh"
    other.write_text("#!/bin/bash\necho stranger >> marks\n")
    other.chmod(0o755)

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        if way == "unusable":
            after.chmod(0o600)
        else:
            after.unlink()
        if way == "led out":
            after.symlink_to(other)
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "before\nafter 1\n"


def test_a_before_that_was_swapped_for_a_link_out_of_its_folder_is_not_run(
    stage: Stage, tmp_path: Path
) -> None:
    before = stage.script("before", FREEZE)
    stage.script("after", AFTER)
    record = stage.record()
    before.rename(tmp_path / "elsewhere.sh")
    before.symlink_to(tmp_path / "elsewhere.sh")

    with stage.guarded(record) as guard:
        guard.go()
        assert guard.before(SECONDS) == Outcome.CRASHED
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "after 0\n"


def test_without_a_before_after_gets_1_and_without_scripts_the_window_is_just_over(
    stage: Stage,
) -> None:
    stage.script("after", AFTER)
    assert keep(stage) == Outcome.MISSING
    assert stage.mark("marks") == "after 1\n"

    (stage.folder / "after_p.sh").unlink()
    assert keep(stage) == Outcome.MISSING
    assert stage.standing().due is None


def test_a_failing_after_is_due_again_in_a_second(stage: Stage) -> None:
    stage.script("before", FREEZE)
    stage.script("after", 'echo "after $1 $N2W_ATTEMPT" >> marks; [ $N2W_ATTEMPT = 2 ]')

    keep(stage)

    standing = stage.standing()
    ended = stage.attempt(Phase.AFTER).ended_boot or 0.0
    assert standing.failing
    assert standing.due is not None
    assert standing.due.at == pytest.approx(ended + 1)
    assert stage.thaw().outcome == Outcome.SUCCEEDED
    assert stage.mark("marks") == "before\nafter 1 1\nafter 1 2\n"
    assert stage.standing().due is None


def test_an_after_that_takes_too_long_is_ended_too(stage: Stage) -> None:
    stage.script("before", FREEZE)
    stage.script("after", "echo $$ > pid; sleep 60")

    keep(stage, after_seconds=BRIEFLY)

    assert stage.attempt(Phase.AFTER).outcome == Outcome.TIMED_OUT
    assert gone(stage.pid("pid"))
    assert stage.standing().failing


def test_a_script_sees_a_clean_environment_its_folder_and_no_input(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "the-servers-own")
    show = "tr '\\0' '\\n' < /proc/$$/environ > $N2W_PHASE.env; pwd > $N2W_PHASE.pwd; cat > input"
    stage.script("before", show)
    stage.script("after", show)

    keep(stage, before_seconds=7, after_seconds=9, max_freeze_seconds=50)

    found = dict(line.split("=", 1) for line in stage.mark("after.env").splitlines())
    left = int(found.pop("N2W_SECONDS_LEFT"))
    assert found == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "N2W_POLICY": "p",
        "N2W_PHASE": "after",
        "N2W_ATTEMPT": "1",
        "N2W_TIMEOUT_SECONDS": "9",
    }
    assert 40 <= left <= 50
    assert "N2W_TIMEOUT_SECONDS=7\n" in stage.mark("before.env")
    assert stage.mark("before.pwd") == f"{stage.folder}\n"
    assert stage.mark("input") == ""


def test_a_script_leads_its_own_session_and_ignores_no_signal(
    stage: Stage, request: pytest.FixtureRequest
) -> None:
    # As if somebody had started the server in the background of a shell.
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    request.addfinalizer(lambda: signal.signal(signal.SIGQUIT, before))
    stage.script(
        "before", "ps -o pid=,pgid=,sid= -p $$ > ids; grep Sig[BI] /proc/self/status > sig"
    )
    stage.script("after", AFTER)

    keep(stage)

    assert len(set(stage.mark("ids").split())) == 1
    assert processes.held_back(stage.mark("sig")) == {"SigBlk": set(), "SigIgn": set()}


def opened_by(pid: int) -> str:
    links = Path(f"/proc/{pid}/fd").iterdir()
    found = []
    for link in links:
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found.append(str(link.readlink()))
    return " ".join(found)


def test_the_guard_holds_the_lock_and_no_script_inherits_it(stage: Stage) -> None:
    stage.script("before", "ls -l /proc/$$/fd > fds; sleep 60 & echo $! > child")
    stage.script("after", AFTER)

    with stage.guarded() as guard:
        assert spool.try_lock(stage.spooled) is None
        for attempt in stage.journal.attempts.values():  # not even while they wait at their gates
            assert attempt.process is not None
            until(lambda pid=attempt.process.pid: str(stage.spooled) not in opened_by(pid))  # type: ignore[misc]
        guard.go()
        guard.before(SECONDS)
        assert spool.try_lock(stage.spooled) is None
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert not spool.is_held(stage.spooled)  # although before's child still lives
    os.kill(stage.pid("child"), signal.SIGKILL)
    opened = [line.split(" -> ")[1] for line in stage.mark("fds").splitlines() if "->" in line]
    assert opened
    assert not any(str(stage.spooled) in each for each in opened)


def test_complete_runs_alone_with_its_argument(stage: Stage) -> None:
    stage.script("complete", 'echo "complete $1" >> marks; echo done')
    stage.spool()

    guard = stage.guard((Phase.COMPLETE, "1", 1))
    guard.wait_until_done(SECONDS)
    guard.release()

    assert stage.mark("marks") == "complete 1\n"
    complete = stage.attempt(Phase.COMPLETE)
    assert (complete.outcome, complete.stdout) == (Outcome.SUCCEEDED, "done\n")
