"""Whatever dies or is cut, the far side thaws, once at a time, names who began, and leaves nothing behind."""

import fcntl
import os
import signal
import sys
import termios
from pathlib import Path

import pytest

from scripts_admin.runners import far
from tests.ground import far_side, processes
from tests.ground.far_side import FarSide, in_each_shell, order


def recording(ledger: Path, before: str = "", **settings: float) -> far.Order:
    return order(f"echo before >>{ledger}; {before}", f"echo after $1 >>{ledger}", **settings)


def pid_of(side: FarSide, who: str) -> int:
    names = ("main", "heir", "reader", "ticker")
    return int(side.logged("-main")[-1][1 + names.index(who)])


def is_over(side: FarSide, by: str) -> bool:
    processes.wait_until(
        lambda: side.logged("over") == [["over", by]],
        seconds=far_side.PATIENCE_SECONDS,
        what=f"over {by}",
    )
    return True


@in_each_shell
def test_a_closed_channel_thaws(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger)) as side:
        side.freezes()
        side.hangs_up()
        assert side.hears_the_end()[-3:-1][1] == far.After(1, 0, far.By.EOF)
        assert ledger.read_text() == "before\nafter 0\n"
        assert side.leaves_nothing()


@in_each_shell
def test_a_closed_channel_ends_a_before_that_runs_and_after_runs_twice(
    path: str, ledger: Path
) -> None:
    of = recording(ledger, "sleep 1000", before_timeout=1.5)
    with far_side.started(path, of) as side:
        side.is_ready()
        side.goes()
        processes.wait_until(
            lambda: ledger.read_text() != "", seconds=far_side.PATIENCE_SECONDS, what="before runs"
        )
        side.hangs_up()
        assert side.hears(far.Thawing).by == "eof"
        assert side.hears(far.Before).code == "cut"
        assert side.hears(far.After) == far.After(1, 0, far.By.EOF)
        assert side.hears(far.After) == far.After(2, 0, far.By.EOF)
        assert side.hears(far.Over).by == "eof"
        assert ledger.read_text() == "before\nafter 0\nafter 0\n"
        assert side.leaves_nothing()


@pytest.mark.parametrize("said", [b"bye\n", b"", b"thaw 1\n"])
@in_each_shell
def test_before_go_nothing_runs(path: str, ledger: Path, said: bytes) -> None:
    with far_side.started(path, recording(ledger)) as side:
        side.is_ready()
        if said:
            side.say(said)
        else:
            side.hangs_up()
        assert side.hears_the_end()[-1] == far.Over(far.By.NEVER)
        assert ledger.read_text() == ""
        assert side.leaves_nothing()


@in_each_shell
def test_a_gate_that_nobody_opens_closes(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger, gate=0.5)) as side:
        assert side.hears(far.Over).by == "never"
        assert ledger.read_text() == ""
        assert side.leaves_nothing()


@in_each_shell
def test_a_go_that_comes_late_starts_nothing(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger)) as side:
        uptime = side.is_ready().uptime
        side.say(far.go(uptime - far.GRACE_SECONDS - 0.01))
        assert side.hears(far.Refused) == far.Refused("late-go")
        assert side.hears(far.Over).by == "never"
        assert ledger.read_text() == ""
        assert side.leaves_nothing()


@pytest.mark.parametrize(
    "line", [b"go\n", b"go x\n", b"go ;reboot\n", b"go -5\n", b"go 99999999999.x\n"]
)
@in_each_shell
def test_a_go_that_is_no_time_starts_nothing(path: str, ledger: Path, line: bytes) -> None:
    with far_side.started(path, recording(ledger)) as side:
        side.is_ready()
        side.say(line)
        assert side.hears(far.Refused).why == "late-go"
        assert ledger.read_text() == ""


@in_each_shell
def test_silence_thaws(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger, silence=1.0)) as side:
        side.freezes()
        thawing = side.hears(far.Thawing)
        assert (thawing.by, thawing.argument) == ("silence", "0")
        assert thawing.uptime - float(side.logged("before")[0][2]) > 0.9
        assert side.hears(far.Over).by == "silence"
        side.say(far.thaw("1"))  # the network has healed
        side.say(far.FETCH)
        side.hears(far.Out)
        assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_the_deadline_thaws_although_we_are_heard(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger, max_freeze=1.0)) as side:
        side.freezes()
        side.say(far.ping(2))
        assert side.hears(far.Thawing).by == "deadline"
        side.say(far.thaw("1"))
        assert side.hears(far.Over).by == "deadline"
        assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_a_thaw_that_waited_past_the_deadline_is_not_first(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger, max_freeze=1.0)) as side:
        before = side.freezes()
        main = pid_of(side, "main")
        os.kill(main, signal.SIGSTOP)
        side.say(far.thaw("1"))
        processes.wait_until(
            lambda: float(Path("/proc/uptime").read_text().split()[0]) > before.uptime + 1.1,
            seconds=far_side.PATIENCE_SECONDS,
            what="the deadline passes",
        )
        os.kill(main, signal.SIGCONT)
        thawing = side.hears(far.Thawing)
        assert (thawing.by, thawing.argument) == ("deadline", "0")
        side.hears(far.Over)
        assert ledger.read_text() == "before\nafter 0\n"


@in_each_shell
def test_a_wrapper_that_was_stopped_does_not_mistake_its_own_silence_for_ours(
    path: str, ledger: Path
) -> None:
    with far_side.started(path, recording(ledger, silence=1.0)) as side:
        before = side.freezes()
        main = pid_of(side, "main")
        os.kill(main, signal.SIGSTOP)
        processes.wait_until(
            lambda: float(Path("/proc/uptime").read_text().split()[0]) > before.uptime + 1.3,
            seconds=far_side.PATIENCE_SECONDS,
            what="the silence passes",
        )
        side.say(far.thaw("1"))
        queued = len("tick\nin thaw 1\n")
        processes.wait_until(
            lambda: _bytes_in(side.folder / "q") >= queued,
            seconds=far_side.PATIENCE_SECONDS,
            what="the order waits in the queue",
        )
        os.kill(main, signal.SIGCONT)
        assert side.hears(far.Thawing).by == "worker"
        assert side.hears(far.Over).by == "worker"
        assert ledger.read_text() == "before\nafter 1\n"


def _bytes_in(pipe: Path) -> int:
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4), sys.byteorder)
    finally:
        os.close(descriptor)


@in_each_shell
def test_a_killed_wrapper_is_replaced_and_its_heir_thaws(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger)) as side:
        side.freezes()
        os.kill(pid_of(side, "main"), signal.SIGKILL)
        assert side.hears(far.Thawing).by == "orphan"
        assert side.hears(far.After) == far.After(1, 0, far.By.ORPHAN)
        assert side.hears(far.Over).by == "orphan"
        assert ledger.read_text() == "before\nafter 0\n"
        side.say(far.FETCH)  # the heir hears us, too
        side.hears(far.Out)
        side.hangs_up()
        assert side.leaves_nothing()


@in_each_shell
def test_a_wrapper_killed_while_before_runs_ends_it_first(path: str, ledger: Path) -> None:
    # A wrapper that dies may take a letter of what it reads with it: the heir then waits for the silence.
    of = recording(ledger, f"sleep 1; echo frozen late >>{ledger}", before_timeout=2.0, silence=2.0)
    with far_side.started(path, of) as side:
        side.is_ready()
        side.goes()
        processes.wait_until(
            lambda: ledger.read_text() != "", seconds=far_side.PATIENCE_SECONDS, what="before runs"
        )
        os.kill(pid_of(side, "main"), signal.SIGKILL)
        side.hangs_up()
        assert is_over(side, "orphan")
        assert ledger.read_text() == "before\nafter 0\nafter 0\n"
        assert side.leaves_nothing()


@in_each_shell
def test_a_wrapper_killed_at_its_gate_runs_nothing(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger)) as side:
        side.is_ready()
        os.kill(pid_of(side, "main"), signal.SIGKILL)
        assert side.hears(far.Over).by == "never"
        side.hangs_up()
        assert ledger.read_text() == ""
        assert side.leaves_nothing()


@in_each_shell
def test_a_wrapper_killed_while_after_runs_starts_no_second_one(path: str, ledger: Path) -> None:
    of = order("true", f"echo begin >>{ledger}; sleep 0.5; echo end >>{ledger}")
    with far_side.started(path, of) as side:
        side.freezes()
        side.say(far.thaw("1"))
        processes.wait_until(
            lambda: ledger.read_text() != "", seconds=far_side.PATIENCE_SECONDS, what="after runs"
        )
        os.kill(pid_of(side, "main"), signal.SIGKILL)
        assert side.hears(far.After) == far.After(1, 0, far.By.WORKER)
        assert side.hears(far.Over).by == "worker"
        assert ledger.read_text() == "begin\nend\n"


@in_each_shell
def test_a_wrapper_without_its_heir_goes_on(path: str, ledger: Path) -> None:
    with far_side.started(path, recording(ledger)) as side:
        side.freezes()
        os.kill(pid_of(side, "heir"), signal.SIGKILL)
        side.hangs_up()
        assert is_over(side, "eof")
        assert ledger.read_text() == "before\nafter 0\n"
        assert side.leaves_nothing()


@in_each_shell
def test_when_all_are_killed_a_second_session_thaws(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with far_side.started(path, of) as side:
        ready = side.is_ready()
        side.goes()
        side.hears(far.Before)
        os.kill(pid_of(side, "heir"), signal.SIGKILL)
        os.kill(pid_of(side, "main"), signal.SIGKILL)
        side.hangs_up()
        assert side.leaves_nothing()  # the scripts' processes at their gates, too
        assert ledger.read_text() == "before\n"
        second = far.Second(ready.folder, ready.boot)
        looked = []
        for _ in range(2):  # the second look finds what the first one did
            with far_side.started(path, of, "look", second, keep=True) as later:
                looked.append(later.hears(far.Look).state)
                assert later.hears(far.Before).code == 0
                assert later.hears(far.Thawing).by == "orphan"
                assert later.hears(far.Over).by == "orphan"
                assert "before.1.stdout" in later.outputs()
                later.hangs_up()
                later.hears_the_end()
                assert later.leaves_nothing()
        assert looked == ["dead", "over"]
        assert ledger.read_text() == "before\nafter 0\n"
