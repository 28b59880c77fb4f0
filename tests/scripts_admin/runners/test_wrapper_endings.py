"""Scripts that do not end, or not well: they are ended with all their children, and after runs until it succeeds."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from scripts_admin.runners import far
from tests.ground import far_side, processes
from tests.ground.far_side import FarSide, in_each_shell, order

HANGS = {
    "ignores TERM": "trap '' TERM; while :; do sleep 0.05; done",
    "leaves its group": "setsid sh -c 'echo $$ >>PIDS; while :; do sleep 0.05; done'",
    "has children": "(echo $$ >>PIDS; while :; do sleep 0.05; done) & wait",
}


def is_dead(pid: int) -> bool:
    """Tell whether the process is gone; a zombie is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("kind", HANGS)
@in_each_shell
def test_a_before_that_hangs_is_ended_and_after_runs_twice(
    path: str, ledger: Path, tmp_path: Path, kind: str
) -> None:
    pids = tmp_path / "pids"
    text = f"echo $$ >>{pids}; " + HANGS[kind].replace("PIDS", str(pids))
    of = order(text, f"echo after $1 >>{ledger}", before_timeout=1.0)
    with far_side.started(path, of) as side:
        assert side.freezes().code == "timeout"
        assert all(is_dead(int(pid)) for pid in pids.read_text().split())
        side.say(far.thaw("1"))
        assert side.hears(far.Thawing).argument == "0"
        first, again = side.hears(far.After), side.hears(far.After)
        assert (first, again) == (
            far.After(1, 0, far.By.WORKER),
            far.After(2, 0, far.By.WORKER),
        )
        assert side.hears(far.Over).by == "worker"
        assert ledger.read_text() == "after 0\nafter 0\n"


@in_each_shell
def test_who_hides_its_environment_is_thawed_by_the_second_after(path: str, ledger: Path) -> None:
    late = f"env -i setsid sh -c 'sleep 1.3; echo frozen late >>{ledger}' </dev/null >/dev/null 2>&1 & wait"
    of = order(late, f"echo after $1 >>{ledger}", before_timeout=1.0)
    with far_side.started(path, of) as side:
        side.freezes()
        side.say(far.thaw("0"))
        side.hears(far.Over)
        assert ledger.read_text() == "after 0\nfrozen late\nafter 0\n"


@in_each_shell
def test_an_after_that_fails_is_tried_again(path: str, ledger: Path) -> None:
    after = f"echo $N2W_ATTEMPT $1 >>{ledger}; echo try $N2W_ATTEMPT; [ $N2W_ATTEMPT = 2 ]"
    with far_side.started(path, order(after=after)) as side:
        side.freezes()
        side.say(far.thaw("1"))
        assert side.hears(far.After) == far.After(1, 1, far.By.WORKER)
        assert side.hears(far.After) == far.After(2, 0, far.By.WORKER)
        assert side.hears(far.Over).by == "worker"
        assert ledger.read_text() == "1 1\n2 1\n"
        outputs = side.outputs()
        assert outputs["after.1.stdout"] == b"try 1\n"
        assert outputs["after.2.stdout"] == b"try 2\n"


@in_each_shell
def test_an_after_that_hangs_is_ended_and_tried_again_without_us(path: str, ledger: Path) -> None:
    after = f"echo $N2W_ATTEMPT >>{ledger}; [ $N2W_ATTEMPT = 2 ] || sleep 1000"
    with far_side.started(path, order(after=after, after_timeout=1.0)) as side:
        side.freezes()
        side.hangs_up()
        assert side.hears(far.After) == far.After(1, "timeout", far.By.EOF)
        assert side.hears(far.After) == far.After(2, 0, far.By.EOF)
        side.hears_the_end()
        assert ledger.read_text() == "1\n2\n"
        assert side.leaves_nothing()


@in_each_shell
def test_an_after_that_never_succeeds_is_given_up_in_the_end(path: str, ledger: Path) -> None:
    with far_side.started(path, order(after=f"echo x >>{ledger}; exit 3", retry=0.5)) as side:
        side.freezes()
        side.say(far.thaw("1"))
        assert side.hears(far.After) == far.After(1, 3, far.By.WORKER)
        assert side.hears(far.Over).by == "worker"
        assert ledger.read_text() == "x\n"


@in_each_shell
def test_an_after_killed_at_its_gate_is_there_again(path: str, ledger: Path) -> None:
    with far_side.started(path, order(after=f"echo after $1 >>{ledger}")) as side:
        side.freezes()
        os.kill(waiting_for(side, "after"), signal.SIGKILL)
        side.say(far.thaw("1"))
        assert side.hears(far.Over).by == "worker"
        assert ledger.read_text() == "after 1\n"


@in_each_shell
def test_a_before_killed_at_its_gate_never_runs(path: str, ledger: Path) -> None:
    with far_side.started(path, order(f"echo before >>{ledger}", f"echo after >>{ledger}")) as side:
        side.is_ready()
        os.kill(waiting_for(side, "before"), signal.SIGKILL)
        assert "before was ended at its gate" in side.hears(far.Refused).why
        assert side.hears(far.Over).by == "never"
        assert ledger.read_text() == ""
        assert side.leaves_nothing()


def waiting_for(side: FarSide, phase: str) -> int:
    return next(int(pid) for _, of, _, pid in side.logged("-up") if of == phase)


def _is_gone(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@in_each_shell
def test_the_folder_may_be_tidied_away(path: str, ledger: Path) -> None:
    # As logind does at the user's last logout. What stands at its gates has all it needs but its text.
    with far_side.started(path, order(after=f"echo after $1 >>{ledger}")) as side:
        side.freezes()
        processes.wait_until(  # what caught before's outputs may write its last line now
            lambda: _is_gone(side.folder), seconds=far_side.PATIENCE_SECONDS, what="an empty place"
        )
        side.hangs_up()
        processes.wait_until(
            lambda: "after 0" in ledger.read_text(),
            seconds=far_side.PATIENCE_SECONDS,
            what="after runs",
        )
        assert side.leaves_nothing()
