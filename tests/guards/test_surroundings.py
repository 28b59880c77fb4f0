"""What surrounds a test does not depend on what surrounded whoever started the tests."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.suite import surroundings

ROOT = Path(__file__).resolve().parents[2]
TOLD = """
import json, os, signal, resource, time
from tests.suite import surroundings
surroundings.settle()
print(json.dumps({
    "environment": dict(os.environ),
    "umask": os.umask(0),
    "zone": time.tzname,
    "ignored": sorted(n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN),
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "size": resource.getrlimit(resource.RLIMIT_FSIZE)[0],
    "open": sorted(n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
}))
"""
ODD = {
    "AWS_PROFILE": "production",
    "COLUMNS": "20",
    "DJANGO_SETTINGS_MODULE": "somebody.else",
    "GIT_DIR": "/nowhere",
    "http_proxy": "http://127.0.0.1:1",
    "LC_ALL": "de_DE.ISO-8859-1",
    "MAKEFLAGS": " -j2 --jobserver-auth=3,4",
    "N2W_HOME": "/nowhere",
    "SECRET_KEY": "somebody's",
    "TERM": "dumb",
    "TZ": "Asia/Kathmandu",
}


def _make_odd() -> None:
    os.umask(0o077)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM})
    for limit, most in ((resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_FSIZE, 1 << 20)):
        resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))


def told(*, odd: bool) -> dict[str, object]:
    """Return what a process that settles sees around it."""
    plain = {"PATH": os.environ["PATH"]}
    with (ROOT / "pyproject.toml").open() as handed_down:
        found = subprocess.run(
            [sys.executable, "-c", TOLD],
            cwd=ROOT,
            env=plain | ODD if odd else plain,
            preexec_fn=_make_odd if odd else None,
            pass_fds=[handed_down.fileno()] if odd else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
    seen: dict[str, object] = json.loads(found.stdout)
    return seen


def test_odd_surroundings_are_left_behind() -> None:
    assert told(odd=True) == told(odd=False)


@pytest.mark.parametrize("name", ["CI", "DATABASE_URL", "PIP_INDEX_URL", "PYTEST_XDIST_WORKER"])
def test_what_a_run_is_told_on_purpose_is_kept(name: str) -> None:
    assert surroundings.environment({name: "x"})[name] == "x"
