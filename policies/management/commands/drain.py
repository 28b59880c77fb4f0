"""`manage.py drain`: stop the server in an orderly way, and wait until it has stopped."""

import contextlib
import json
import math
import os
import signal
import time
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from n2wbackup.lib import clock, home
from n2wbackup.lib.trust import UntrustedError
from n2wbackup.processes import serve_lock
from policies.management import output

_LOOK_SECONDS = 0.1
_SIGN_SECONDS = 10


def _seconds(text: str) -> float:
    """Return a time to wait; ArgumentTypeError if nobody can wait so long."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        message = f"{text[:40]!r} is not a number of seconds"
        raise ArgumentTypeError(message)
    return found


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Ask the server on this N2W_HOME to stop, and wait until it has stopped. It opens no new window; "
        "it fires and thaws the open ones. Exit 0 when it has stopped, or when no server was running. "
        "Exit 1 when it is still running after --timeout; it then continues to drain."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--timeout", type=_seconds, default=600.0, help="seconds to wait (default: %(default)s)"
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._drain(options)
        except UntrustedError as error:
            raise CommandError(str(error)) from error

    def _drain(self, options: dict[str, Any]) -> None:
        began = clock.boottime()
        deadline = began + options["timeout"]
        path = home.serve_lock()
        if serve_lock.shared(path):
            raise CommandError(
                f"The programs of the server on {settings.N2W_HOME} run one by one under a service manager, "
                "which would restart them: stop them there (`systemctl stop n2wbackup.target`)."
            )
        pid = _ask(path, min(deadline, began + _SIGN_SECONDS))
        while serve_lock.held(path) and clock.boottime() < deadline:
            time.sleep(_LOOK_SECONDS)
        state = "idle" if pid is None else "draining" if serve_lock.held(path) else "drained"
        seconds = round(clock.boottime() - began, 3)
        if options["json"]:
            self.stdout.write(json.dumps({"state": state, "pid": pid, "seconds": seconds}))
        if state == "draining":
            raise CommandError(
                f"The server (pid {pid}) is still draining after {seconds:.0f} s: wait longer with "
                "--timeout, and look at its open runs with `manage.py list_runs`."
            )
        if not options["json"]:
            self.stdout.write(_sentence(state, seconds))


def _sentence(state: str, seconds: float) -> str:
    if state == "idle":
        return f"Nothing is running on {settings.N2W_HOME}."
    return f"The server on {settings.N2W_HOME} has stopped after {seconds:.1f} s."


def _ask(path: Path, deadline: float) -> int | None:
    """Send SIGTERM to the holder of the lock; return its pid, or None if nobody holds it."""
    while serve_lock.held(path):
        pid = serve_lock.holder(path)
        # None: it has just started and not written its pid yet.
        if pid is not None and _terminate(pid, path):
            return pid
        if clock.boottime() > deadline:
            raise CommandError(
                f"A process holds the lock {path} but its pid is not in it: find it with `fuser {path}`."
            )
        time.sleep(_LOOK_SECONDS)
    return None


def _terminate(pid: int, path: Path) -> bool:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            # Asked again now that the pidfd pins the process: the pid may have passed to another one.
            if serve_lock.holder(path) == pid:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                return True
        finally:
            os.close(descriptor)
    return False
