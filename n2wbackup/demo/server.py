"""The demo's server: all processes of `serve`, and the process that writes the ledger."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import home
from n2wbackup.processes import supervisor
from n2wbackup.processes.supervisor import Program

START_SECONDS = 60.0
_LOOK_SECONDS = 0.1
# Longer than the supervisor waits for open windows.
_STOP_SECONDS = 300.0
_TAIL_LINES = 15


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class Server:
    """The server on this process's home."""

    def __init__(
        self, ledger: Path, environment: Mapping[str, str], beside: Sequence[Program] = ()
    ) -> None:
        """Start the server, and beside it the process that writes `ledger`. Raises supervisor.CannotServeError."""
        # The server does not need the writer, so the writer is among the first to stop.
        writer = Program(
            "writer", [sys.executable, "-m", "n2wbackup.demo.ledger", str(ledger)], 5, 300
        )
        self.url = f"http://127.0.0.1:{settings.N2W_PORT}/"
        self._log = home.logs() / "demo.log"
        with self._log.open("ab") as output:
            self._process = supervisor.start([writer, *beside], environment, output.fileno())

    def wait_until_ready(self) -> None:
        """Return when pages and broker answer; DemoError, with the end of the logs, if they do not."""
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(
                    f"The server was not ready within {START_SECONDS:.0f} s.{self._tails()}"
                )
            time.sleep(_LOOK_SECONDS)

    def _is_ready(self) -> bool:
        url = f"{self.url}health/ready"
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=5) as it:  # noqa: S310 - our own URL
            return bool(json.load(it)["status"] == "ok")
        return False

    def wait(self, seconds: float) -> None:
        """Return after `seconds`; DemoError if the server ends before."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raise DemoError if the server has ended."""
        code = self._process.poll()
        if code is not None:
            raise DemoError(f"The server ended by itself, with exit code {code}.{self._tails()}")

    def stop(self) -> None:
        """End every process in order: open windows are thawed first."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tails(self) -> str:
        """Return the end of each log that is not empty: the logs are about to be removed."""
        found = ""
        for log in sorted(home.logs().glob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
            if lines:
                found += "\n".join([f"\n--- {log.name}", *lines])
        return found
