"""A child that may hang, beside a parent that must not: real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import processes

ROOT = Path(__file__).resolve().parents[3]
PARENT = """
import signal, sys, time
from n2wbackup.processes.beside import Beside

beside = Beside("clerk of a test", signal.pause)
while True:
    beside.keep()
    print(beside._pid, flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def _told(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout
    return int(parent.stdout.readline())


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0].rstrip()


def _is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " in stat.read_text()


def test_a_child_that_ended_is_made_anew(parent: subprocess.Popen[str]) -> None:
    child = _told(parent)
    processes.wait_until(lambda: "clerk" in _title(child), seconds=60, what="its title")
    assert _title(child) == "n2wbackup clerk of a test"
    os.kill(child, signal.SIGKILL)

    processes.wait_until(lambda: _told(parent) not in {0, child}, seconds=60, what="another one")

    assert _is_gone(child)


def test_a_child_is_killed_with_its_parent(parent: subprocess.Popen[str]) -> None:
    child = _told(parent)
    processes.wait_until(lambda: "clerk" in _title(child), seconds=60, what="its title")

    parent.kill()

    processes.wait_until(lambda: _is_gone(child), seconds=60, what="it is gone too")


def test_nobody_waits_for_a_child_that_does_not_end(parent: subprocess.Popen[str]) -> None:
    child = _told(parent)
    processes.wait_until(lambda: "clerk" in _title(child), seconds=60, what="its title")
    os.kill(child, signal.SIGSTOP)

    assert {_told(parent) for _ in range(40)} == {child}
