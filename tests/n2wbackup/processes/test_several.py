"""Several processes of one worker under their parent: real processes, which are killed and told to end."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from n2wbackup.processes import several
from tests.ground import processes

ROOT = Path(__file__).resolve().parents[3]
PARENT = """
import signal, sys, time
from n2wbackup.processes import several, titles

def work():
    titles.show("child of a test")
    signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), sys.exit(0)))
    print("ready", flush=True)
    while True:
        signal.pause()

sys.exit(several.keep(2, "of a test", work))
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        for pid in [process.pid, *processes.descendants(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _two(parent: subprocess.Popen[str]) -> set[int]:
    """Return both children, once each can be told to end."""
    assert parent.stdout
    assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    return set(processes.descendants(parent.pid))


def _is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " in stat.read_text()


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0].rstrip()


@pytest.mark.parametrize(("number", "each"), [(1, 16), (2, 8), (3, 6), (4, 4), (8, 4), (16, 4)])
def test_all_together_have_as_many_threads_as_one_would_and_each_has_some(
    number: int, each: int
) -> None:
    assert several.share(16, number) == each


def test_who_is_killed_is_started_again_and_the_others_go_on(
    parent: subprocess.Popen[str],
) -> None:
    first = _two(parent)
    victim, other = sorted(first)
    assert _title(parent.pid) == "n2wbackup workers of a test 2"
    assert _title(other) == "n2wbackup child of a test"

    os.kill(victim, signal.SIGKILL)

    assert parent.stdout
    assert parent.stdout.readline() == "ready\n"
    now = set(processes.descendants(parent.pid))
    assert other in now
    assert victim not in now
    assert len(now) == 2


def test_all_are_told_to_end_and_the_parent_ends_after_them(
    parent: subprocess.Popen[str],
) -> None:
    children = _two(parent)

    parent.terminate()

    assert parent.wait(60) == 0
    assert parent.stdout
    assert parent.stdout.read() == "told\ntold\n"
    assert all(map(_is_gone, children))


def test_the_children_of_a_killed_parent_end_in_order(parent: subprocess.Popen[str]) -> None:
    children = _two(parent)

    parent.kill()

    assert parent.stdout
    assert parent.stdout.read() == "told\ntold\n"  # to the end: nobody has it open any more
    processes.wait_until(lambda: all(map(_is_gone, children)), seconds=60, what="they have ended")


def test_who_cannot_be_started_now_is_started_later_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails() -> int:
        raise OSError("no memory")

    monkeypatch.setattr(os, "fork", fails)
    kept = several._Several(2, lambda: 0, set())

    assert kept.turn()
    assert kept._pids == [0, 0]
