"""A second session, when the first was lost: it finds, waits for, wakes or replaces the wrapper."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts_admin.runners import far
from tests.ground import far_side, processes
from tests.ground.far_side import FarSide, in_each_shell, order


def recording(ledger: Path, before: str = "", after: str = "", **settings: float) -> far.Order:
    return order(
        f"echo before >>{ledger}; {before}", f"echo after $1 >>{ledger}; {after}", **settings
    )


def pids(side: FarSide) -> list[int]:
    return [int(pid) for pid in side.logged("-main")[-1][1:3]]


@contextmanager
def frozen(path: str, of: far.Order) -> Iterator[FarSide]:
    with far_side.started(path, of) as side:
        side.freezes()
        yield side


@contextmanager
def looking(path: str, of: far.Order, second: far.Second) -> Iterator[FarSide]:
    with far_side.started(path, of, "look", second, keep=True) as later:
        yield later


def known(side: FarSide, *, urge: bool = True) -> far.Second:
    ready = next(word for word in side.heard if isinstance(word, far.Ready))
    return far.Second(ready.folder, ready.boot, urge=urge)


@in_each_shell
def test_a_live_wrapper_is_told_to_thaw(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with frozen(path, of) as side, looking(path, of, known(side)) as later:
        assert later.hears(far.Look).state == "live"
        assert later.hears(far.Thawing).by == "orphan"
        assert later.hears(far.Over).by == "orphan"
        assert later.outputs()["before.1.stdout"] == b""
        assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_a_live_wrapper_is_waited_for(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with frozen(path, of) as side, looking(path, of, known(side, urge=False)) as later:
        assert later.hears(far.Look).state == "live"
        side.hangs_up()
        assert later.hears(far.Over).by == "eof"
        assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_a_wrapper_that_was_stopped_is_woken(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with frozen(path, of) as side:
        for pid in pids(side):
            os.kill(pid, signal.SIGSTOP)
        with looking(path, of, known(side)) as later:
            assert later.hears(far.Over).by == "orphan"
            assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_a_wrapper_that_does_not_hear_is_replaced(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with frozen(path, of) as side:
        os.kill(pids(side)[0], signal.SIGSTOP)
        with looking(path, of, known(side)) as later:
            # Somebody stops it again, as a debugger does.
            while not side.logged("thawing") and pids(side)[0] in far_side.members(
                of, side.process.pid
            ):
                os.kill(pids(side)[0], signal.SIGSTOP)
            assert later.hears(far.Over).by == "orphan"
            assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_all_killed_while_before_ran_it_is_ended_and_after_runs_twice(
    path: str, ledger: Path
) -> None:
    of = recording(ledger, f"sleep 3; echo frozen late >>{ledger}", before_timeout=1.0)
    with far_side.started(path, of) as side:
        side.is_ready()
        side.goes()
        processes.wait_until(
            lambda: ledger.read_text() != "",
            seconds=far_side.PATIENCE_SECONDS,
            what="before runs",
        )
        for pid in reversed(pids(side)):
            os.kill(pid, signal.SIGKILL)
        with looking(path, of, known(side)) as later:
            assert later.hears(far.Look).state == "dead"
            assert later.hears(far.Before).code == "cut"
            assert later.hears(far.After) == far.After(1, 0, far.By.ORPHAN)
            assert later.hears(far.After) == far.After(2, 0, far.By.ORPHAN)
            assert later.hears(far.Over).by == "orphan"
        assert ledger.read_text() == "before\nafter 0\nafter 0\n"


@in_each_shell
def test_where_nobody_lives_a_late_question_runs_after_once_whatever_comes_of_it(
    path: str, ledger: Path
) -> None:
    of = recording(ledger, after="false")
    once = far.without_retries(b"")
    with frozen(path, of) as side:
        for pid in reversed(pids(side)):
            os.kill(pid, signal.SIGKILL)
        with far_side.started(path, of, "look", known(side), prefix=once, keep=True) as later:
            assert later.hears(far.After) == far.After(1, 1, far.By.ORPHAN)
            assert later.hears(far.Over).by == "orphan"
        assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_what_is_left_at_a_gate_takes_no_word_from_whoever_takes_over(
    path: str, ledger: Path
) -> None:
    """It was stopped when all others were killed, so it has not seen the end of file, and is continued too late."""
    of = recording(ledger, after="[ $N2W_ATTEMPT = 3 ]")
    with frozen(path, of) as side:
        left = next(int(pid) for _, phase, _, pid in side.logged("-up") if phase == "after")
        os.kill(left, signal.SIGSTOP)
        others = [pid for pid in far_side.members(of, side.process.pid) if pid != left]
        for pid in (*reversed(pids(side)), *others):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with looking(path, of, known(side)) as later:
            assert later.hears(far.After).attempt == 1
            os.kill(left, signal.SIGCONT)
            assert later.hears(far.Over).by == "orphan"
        assert ledger.read_text() == "before\nafter 0\nafter 0\nafter 0\n"


@in_each_shell
def test_all_killed_while_after_ran_it_is_ended_and_runs_again_alone(
    path: str, ledger: Path
) -> None:
    of = recording(ledger, after="[ $N2W_ATTEMPT = 2 ] || sleep 1000; echo done >>" + str(ledger))
    with frozen(path, of) as side:
        side.say(far.thaw("1"))
        processes.wait_until(
            lambda: "after 1" in ledger.read_text(),
            seconds=far_side.PATIENCE_SECONDS,
            what="after runs",
        )
        script = next(int(pid) for _, phase, _, pid in side.logged("-up") if phase == "after")
        for pid in far_side.members(of, side.process.pid):
            with suppress(ProcessLookupError):
                if script != os.getpgid(pid):
                    os.kill(pid, signal.SIGKILL)
        with looking(path, of, known(side)) as later:
            assert later.hears(far.Over).by == "worker"
        assert ledger.read_text() == "before\nafter 1\nafter 1\ndone\n"


@in_each_shell
def test_after_a_reboot_after_runs_once(path: str, ledger: Path) -> None:
    of = recording(ledger)
    second = far.Second("/dev/shm/n2w-" + of.nonce, "another-boot")
    with far_side.cleared(of):
        for state in ("rebooted", "over"):
            with looking(path, of, second) as later:
                assert later.hears(far.Look).state == state
                assert later.hears(far.Thawing).argument == "0"
                assert later.hears(far.Over).by == "orphan"
        assert ledger.read_text() == "after 0\n"


@in_each_shell
def test_a_folder_that_vanished_means_one_after(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with far_side.cleared(of):
        with looking(path, of, far.Second()) as later:
            assert later.hears(far.Look).state == "absent"
            assert later.hears(far.Over).by == "orphan"
        assert ledger.read_text() == "after 0\n"
        # And before can never start any more.
        with far_side.started(path, of, keep=True) as late:
            assert late.hears(far.Refused).why == "this run was started here before"


@in_each_shell
def test_two_second_sessions_run_one_after(path: str, ledger: Path) -> None:
    of = recording(ledger, after="sleep 0.3")
    with frozen(path, of) as side:
        for pid in reversed(pids(side)):
            os.kill(pid, signal.SIGKILL)
        with looking(path, of, known(side)) as one, looking(path, of, known(side)) as two:
            assert one.hears(far.Over).by == "orphan"
            assert two.hears(far.Over).by == "orphan"
        assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_a_ticker_that_was_killed_is_replaced(path: str, ledger: Path) -> None:
    with frozen(path, recording(ledger, max_freeze=4.0)) as side:
        os.kill(int(side.logged("-main")[0][4]), signal.SIGKILL)
        number = 1
        while not side.logged("over"):
            number += 1
            side.say(far.ping(number))
            side.hears(far.Pong)
        assert side.logged("over") == [["over", "deadline"]]
        assert ledger.read_text() == "before\nafter 0\n"
