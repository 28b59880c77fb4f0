"""What surrounds every test, whatever surrounded the shell, the editor or the service that started them.

A test that needs other surroundings makes them, for itself or for a process that it starts.
"""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from setproctitle import getproctitle

# What a run is told on purpose: where programs are, which database and which AWS, how packages are installed.
_KEPT = {
    *("CI", "HOME", "PATH", "TMPDIR"),
    *("DATABASE_URL", "REDIS_URL", "N2W_SOAK_SEED"),
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
}
_KEPT_BEGINNINGS = (
    "COVERAGE_",
    "COV_CORE_",
    "N2W_SIMULATED_",
    "N2W_TEST_",
    "PIP_",
    "PYTEST_",
    "UV_",
)
_GIVEN = {"LANG": "C.UTF-8", "TZ": "UTC"}
_MOST_FILES = 4096
# Python itself ignores these: what it writes to then raises.
_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}


def settle() -> None:
    """Leave nothing inherited: environment, umask, signals, limits and open files are the same everywhere."""
    getproctitle()  # it finds the place of the title by the environment, as long as that is untouched
    kept = environment(os.environ)
    os.environ.clear()
    os.environ.update(kept)
    time.tzset()
    os.umask(0o022)
    _answer_signals()
    _limit()
    _close_files()


def environment(found: Mapping[str, str]) -> dict[str, str]:
    """Return what stays of an environment."""
    kept = {
        name: value
        for name, value in found.items()
        if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
    }
    return kept | _GIVEN


def _answer_signals() -> None:
    """Let each signal do what it does to a new process; in the threads that come later, too."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) == signal.SIG_IGN and number not in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _limit() -> None:
    """Set the limits that the machine leaves to us as a service has them."""
    for limit in (
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_CPU,
        resource.RLIMIT_DATA,
        resource.RLIMIT_AS,
    ):
        _, most = resource.getrlimit(limit)
        resource.setrlimit(limit, (most, most))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_FILES if most == resource.RLIM_INFINITY else min(_MOST_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


def _close_files() -> None:
    """Close what our parent had open: no file that Python opens is handed down, so each that would be is foreign."""
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):
            if number > 2 and os.get_inheritable(number):
                os.close(number)
