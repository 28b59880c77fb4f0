import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from n2wbackup.lib import home
from n2wbackup.processes import serve_lock
from policies.management.commands import drain

HOLDER = """
import signal, sys, time
from pathlib import Path
from n2wbackup.processes import serve_lock
lock = serve_lock.acquire(Path(sys.argv[1]))
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[2] != "nameless":
    serve_lock.sign(lock)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, settings: Settings) -> None:
    settings.N2W_HOME = tmp_path


@contextmanager
def _holder(kind: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that holds the lock like a server, and reacts to SIGTERM according to `kind`."""
    command = [sys.executable, "-c", HOLDER, str(home.serve_lock()), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_server_is_asked_to_stop_and_awaited() -> None:
    said = StringIO()
    with _holder("obedient") as server:
        call_command("drain", stdout=said)

        # 15 is SIGTERM.
        assert server.wait(60) == -15
    assert said.getvalue().startswith(f"The server on {home.serve_lock().parent} has stopped after")


def test_a_server_that_takes_longer_is_left_to_go_on_and_said_so() -> None:
    said = StringIO()
    with _holder("stubborn") as server:
        with pytest.raises(CommandError, match=rf"\(pid {server.pid}\) is still draining after"):
            call_command("drain", "--json", "--timeout", "0.3", stdout=said)

        assert server.poll() is None
        found = json.loads(said.getvalue())
        assert (found["state"], found["pid"]) == ("draining", server.pid)


def test_nobody_is_sent_a_signal_who_has_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_SIGN_SECONDS", 0.3)
    with _holder("nameless") as server:
        with pytest.raises(CommandError, match="but its pid is not in it: find it with `fuser"):
            call_command("drain", stdout=StringIO())

        assert server.poll() is None


def test_programs_that_run_one_by_one_are_left_to_whoever_starts_them_again() -> None:
    share = serve_lock.share(home.serve_lock())
    assert share is not None
    try:
        with pytest.raises(CommandError, match=r"one by one.*systemctl stop n2wbackup\.target"):
            call_command("drain", stdout=StringIO())
    finally:
        os.close(share)
