"""The cost of a process tree: an ended child still counts, and none counts twice."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bench import processes

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
print("ended", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process whose only child has used 0.4 s and ended."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ended\n"
        yield process
        process.communicate("\n")


def test_the_cpu_time_of_a_child_that_has_ended_is_in_its_parents(
    parent: subprocess.Popen[str],
) -> None:
    used = processes.cpu_seconds(processes.tree(parent.pid))

    assert list(used) == [parent.pid]
    assert used[parent.pid] >= 0.39  # whole ticks of a hundredth


def test_a_tree_has_the_living_descendants_and_each_once(parent: subprocess.Popen[str]) -> None:
    found = processes.tree(os.getpid())

    assert found[0] == os.getpid()
    assert found.count(parent.pid) == 1


def test_a_process_that_is_gone_costs_and_weighs_nothing_more() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    assert processes.cpu_seconds([gone.pid]) == {}
    assert processes.memory_bytes(gone.pid) == {}


def test_a_living_process_weighs_something() -> None:
    found = processes.memory_bytes(os.getpid())

    assert 0 < found["Private_Dirty"] <= found["Rss"]
    assert found["Pss"] <= found["Rss"]
