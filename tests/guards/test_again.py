"""tools/again.sh and tools/stages.sh: what failed beside others is run once more, alone, and nobody overlooks it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guards import tree

CONFTEST = """
import pytest
from tests.suite import again

def pytest_addoption(parser):
    parser.addoption("--once-more", action="store_true")

def pytest_configure(config):
    config.addinivalue_line("markers", "once: never again")

def pytest_collection_finish(session):
    if session.config.option.once_more:
        again.check(session)
"""
BEGINNING = """
import os, pathlib
import pytest

def comes_later(name):
    seen = pathlib.Path(__file__).with_name(name)
    if not seen.exists():
        seen.touch()
        return False
    return "PYTEST_XDIST_WORKER" not in os.environ

def test_steady():
    pass
"""
FAILS_ONCE = """
def test_fails_{0}():
    assert comes_later("{0}")
"""
FAILS = """
def test_fails():
    assert False
"""
CRASHES_ONCE = """
def test_crashes():
    comes_later("crash") or os._exit(3)
"""


@dataclass(frozen=True)
class Checkout:
    """A checkout with the tools, and one file of tests."""

    root: Path

    def tests(self, *texts: str) -> None:
        (self.root / "test_it.py").write_text("".join([BEGINNING, *texts]))

    def run(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the stage."""
        pytest_line = f"{sys.executable} -m pytest {' '.join(options)} test_it.py"
        (self.root / "Makefile").write_text(f"it:\n\ttools/again.sh it {pytest_line}\n")
        told = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree.ROOT)}
        return subprocess.run(
            ["tools/stages.sh", "it"],
            cwd=self.root,
            env=told | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / "tools").mkdir()
    for name in ("again.sh", "stages.sh"):
        shutil.copy(tree.ROOT / "tools" / name, tmp_path / "tools" / name)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --disable-plugin-autoload -p xdist.plugin\n"
    )
    return Checkout(tmp_path)


def test_what_passes_alone_passes_and_is_named_last(checkout: Checkout) -> None:
    checkout.tests(FAILS_ONCE.format("a"), CRASHES_ONCE)

    done = checkout.run("-n", "2")

    assert done.returncode == 0, done.stdout
    assert "2 failed, 1 passed" in done.stdout
    *_, heading, first, second, last = done.stdout.splitlines()
    assert heading.startswith("== unsteady: failed beside others, passed alone")
    assert {first, second} == {f"it: test_it.py::test_{each}" for each in ("fails_a", "crashes")}
    assert last.startswith("== every stage passed")


@pytest.mark.parametrize(
    ("texts", "variables", "said"),
    [
        ([FAILS], {}, "none of them counts as passed"),
        ([FAILS, FAILS_ONCE.format("a")], {}, "none of them counts as passed"),
        (
            [f"\npytestmark = pytest.mark.once\n{FAILS_ONCE.format('a')}"],
            {},
            "one failure is enough",
        ),
        ([FAILS_ONCE.format(each) for each in "abcd"], {}, "4 tests failed: none is run again"),
        ([FAILS_ONCE.format("a")], {"N2W_STRICT": "1"}, "1 failed, 1 passed"),
        (["\nimport nothing_of_this_name\n"], {}, "1 error"),
    ],
    ids=["again", "one-again", "once", "four", "strict", "unreadable"],
)
def test_what_else_fails_has_failed(
    checkout: Checkout, texts: list[str], variables: dict[str, str], said: str
) -> None:
    checkout.tests(*texts)

    done = checkout.run(**variables)

    assert done.returncode == 1, done.stdout
    assert said in done.stdout + done.stderr
    assert "UNSTEADY" not in done.stdout
    assert "== unsteady" not in done.stdout
    assert done.stdout.splitlines()[-1] == "== failed: it"


def test_what_failed_in_an_earlier_run_is_forgotten(checkout: Checkout) -> None:
    checkout.tests(FAILS)
    assert checkout.run().returncode == 1
    checkout.tests(FAILS_ONCE.format("a"))

    done = checkout.run()

    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-2] == "it: test_it.py::test_fails_a"
