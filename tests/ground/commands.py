"""Management commands of one server, without a new start of Python for each, which takes a second."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Done = subprocess.CompletedProcess[str]


class Commands:
    """Runs commands in forks of a process that has loaded the product, for as long as the environment stays as it is.

    What a process has loaded knows no preloaded library and no other account: `alone` serves them.
    """

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._address = ""

    def run(self, words: Sequence[str], environment: Mapping[str, str], seconds: float) -> Done:
        if "LD_PRELOAD" in environment:
            return alone([sys.executable], words, environment, seconds)
        with self._connection(dict(environment)) as door, _files() as (out, err):
            socket.send_fds(door, [json.dumps(list(words)).encode()], [out, err])
            door.settimeout(seconds)
            try:
                code = door.recv(16)
            except TimeoutError:
                self.close()  # and with it the command
                raise subprocess.TimeoutExpired(list(words), seconds) from None
            assert code, f"whatever runs commands ended with {words}"
            return Done(list(words), int(code), _text(out), _text(err))

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End what runs commands, and with it those that still run."""
        with self._starting:
            self._end()

    def _connection(self, environment: dict[str, str]) -> socket.socket:
        with self._starting:
            if self._process is None or environment != self._environment:
                self._end()
                self._start(environment)
            door = socket.socket(socket.AF_UNIX)
            door.connect(self._address)
            return door

    def _start(self, environment: dict[str, str]) -> None:
        self._address = f"\0n2wbackup-commands-{uuid.uuid4().hex}"
        watched, self._lifeline = os.pipe()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.ground.forked", str(watched)],
                cwd=ROOT,
                env=environment,
                stdin=listener.fileno(),
                pass_fds=[watched],
            )
        os.close(watched)
        self._environment = environment

    def _end(self) -> None:
        if self._process is not None:
            os.close(self._lifeline)
            self._process.wait()
            self._process, self._environment = None, {}


def alone(
    program: Sequence[str], words: Sequence[str], environment: Mapping[str, str], seconds: float
) -> Done:
    """Run one command by a Python of its own."""
    return subprocess.run(
        [*program, "manage.py", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@contextlib.contextmanager
def _files() -> Iterator[tuple[int, int]]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        yield out.fileno(), err.fileno()


def _text(number: int) -> str:
    return os.pread(number, os.fstat(number).st_size, 0).decode()
