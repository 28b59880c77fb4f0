"""Which programs are forks of the supervisor, and what a fork makes of a command."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from n2wbackup.processes import forking
from n2wbackup.processes.forking import Words

GUARDED = ["/usr/bin/setpriv", "--pdeathsig", "TERM", "--"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ([*GUARDED, sys.executable, "-m", "manage", "watchdog"], Words("manage", ["watchdog"])),
        (
            [*GUARDED, sys.executable, "-m", "n2wbackup", "worker", "tick", "1"],
            Words("n2wbackup", ["worker", "tick", "1"]),
        ),
        ([*GUARDED, sys.executable, "-m", "n2wbackup.demo.aws"], None),
        ([*GUARDED, sys.executable, "-m"], None),
        ([*GUARDED, "/usr/bin/python3", "-m", "manage", "watchdog"], None),
        ([*GUARDED, "/usr/bin/valkey-server", "-"], None),
        ([sys.executable, "-m", "manage", "watchdog"], None),
        ([], None),
    ],
)
def test_only_the_server_s_own_programs_are_forked(
    command: Sequence[str], expected: Words | None
) -> None:
    assert forking.words(command) == expected


FORK = """
import os, sys
from n2wbackup.processes import forking
parent = os.getpid()
pid = os.fork()
if not pid:
    forking.become(forking.Words({module!r}, {arguments!r}), {{**os.environ, "SAID": "yes"}}, {parent})
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def forked(
    module: str, *arguments: str, parent: str = "parent"
) -> subprocess.CompletedProcess[str]:
    program = FORK.format(module=module, arguments=arguments, parent=parent)
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "n2wbackup.settings.test"}
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_a_fork_is_the_program_that_python_m_would_run() -> None:
    ended = forked("manage", "--version")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip()


def test_a_fork_leaves_with_the_program_s_exit_code_and_its_sentence() -> None:
    ended = forked("manage", "nonsense")

    assert ended.returncode == 1
    assert "nonsense" in ended.stderr


def test_a_fork_whose_parent_has_died_meanwhile_runs_nothing() -> None:
    ended = forked("manage", "--version", parent="1")

    assert (ended.returncode, ended.stdout) == (1, "")


def test_what_cannot_be_loaded_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(forking, "_MODULES", ("n2wbackup.nowhere",))

    assert forking.load() == "ModuleNotFoundError: No module named 'n2wbackup.nowhere'"


def test_with_a_preloaded_library_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libfaketime.so.1")

    assert forking.load() == "LD_PRELOAD names libraries that may not be forked"


LOADED = """
import os, sys, threading
os.environ["CELERY_SKIP_CHECKS"] = "1"  # as the supervisor has it
from n2wbackup.processes import forking
said = forking.load()
before = set(sys.modules)
from n2wbackup.celery import app
import n2wbackup.processes.beat, policies.tasks
app.Worker(hostname="tick@here", queues=["tick"], pool_cls="threads", concurrency=1, quiet=True)
late = set(sys.modules) - before - {"kombu.transport.memory"}  # the broker of the tests
print([said, threading.active_count(), sorted(late)])
"""


def test_a_worker_finds_loaded_what_it_uses() -> None:
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "n2wbackup.settings.test"}

    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False, env=environment
    )

    # No word of trouble, no thread besides the main one, and nothing more to import.
    assert done.stdout == "['', 1, []]\n", done.stderr
