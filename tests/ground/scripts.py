"""Runs a script like the engine, but without the engine: the contract of a local script."""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

CLEAN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": str(Path.home()),
    "LANG": "C.UTF-8",
    "USER": "root" if os.geteuid() == 0 else Path.home().name,
}


@dataclass(frozen=True)
class Result:
    """The result of a script; times are aware, in UTC."""

    exit_code: int
    stdout: str
    stderr: str
    started_at: datetime
    ended_at: datetime

    @property
    def seconds(self) -> float:
        """How long the script's own process ran."""
        return (self.ended_at - self.started_at).total_seconds()


@contextlib.contextmanager
def started(
    script: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator["Script"]:
    """Start the script: clean environment, own session and group, no input, its folder as cwd.

    Its output goes to files, not to pipes, so a child that it leaves behind delays nobody. If the block
    ends first, the script's group is killed; processes that left the group go on.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started_at = datetime.now(UTC)
        process = subprocess.Popen(
            [script, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            cwd=script.parent,
            env={**CLEAN, **(environment or {})},
        )
        handle = Script(process, stdout, stderr, started_at)
        try:
            yield handle
        finally:
            handle.kill_group()


@dataclass(frozen=True)
class Script:
    """A running script."""

    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    started_at: datetime

    def result(self, seconds: float) -> Result:
        """Wait for the script's own process only; subprocess.TimeoutExpired after `seconds`."""
        # Popen.wait polls only every 50 ms, and the measured times are shorter.
        descriptor = os.pidfd_open(self.process.pid)
        try:
            if not select.select([descriptor], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(self.process.args, seconds)
        finally:
            os.close(descriptor)
        ended_at = datetime.now(UTC)
        self.process.wait()
        self.stdout.seek(0)
        self.stderr.seek(0)
        return Result(
            exit_code=self.process.returncode,
            stdout=self.stdout.read().decode(errors="replace"),
            stderr=self.stderr.read().decode(errors="replace"),
            started_at=self.started_at,
            ended_at=ended_at,
        )

    def kill_group(self) -> None:
        """SIGKILL the script and its group unless the script has ended; returns once it has ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run(
    script: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    seconds: float = 30,
) -> Result:
    """Run the script to its end; after `seconds`, kill its group and raise TimeoutExpired."""
    with started(script, *arguments, environment=environment) as script_at_work:
        return script_at_work.result(seconds)
