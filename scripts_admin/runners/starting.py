"""The worker's side of a carrier: start one, learn which instances are armed, and hand it over to the guard."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts_admin.guard import linux
from scripts_admin.guard.instances import MOST_BYTES, Carried

# -B: a carrier writes nothing, not even the modules that it has compiled.
BY_SSH = (sys.executable, "-B", "-m", "scripts_admin.runners.by_ssh")
_PROJECT = Path(__file__).resolve().parents[2]
_DIED = "the process that was to hold its connection could not be started, or has died"
_LATE = "it was not ready in time"


@dataclass(frozen=True, slots=True)
class Armed:
    """An instance whose scripts stand at their gates."""

    boot: str
    folder: str
    pid: int = 0  # of its wrapper, on the instance


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing runs on an instance; `more` is what the runner says besides, such as a host key that it saw."""

    why: str
    more: Any = None


@dataclass(slots=True)
class Answers:
    """What became of each instance: it is armed, or refused."""

    armed: dict[str, Armed] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)


class Started:
    """A carrier that was started; `close` ends it, and every gate with it."""

    def __init__(
        self, program: Sequence[str], document: Mapping[str, object], names: Sequence[str]
    ) -> None:
        """Start it with this document, which may hold keys: it goes through a pipe, and nowhere else."""
        self._names = tuple(names)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket: socket.socket | None = ours
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(_PROJECT),
        }
        with theirs:
            self._process = subprocess.Popen(
                [*program, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        text = json.dumps(document).encode()
        # In a thread: a large document fills the pipe long before the program has been loaded. It also waits for the
        # end, so that no dead carrier stays behind.
        threading.Thread(target=self._give, args=(text,), daemon=True).start()

    def _give(self, text: bytes) -> None:
        if self._process.stdin is not None:
            with suppress(OSError), self._process.stdin as pipe:
                pipe.write(text)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def answers(self, within_seconds: float) -> Answers:
        """Return once every instance is armed or refused; one that is neither in time is refused."""
        found, until = Answers(), linux.boottime() + within_seconds
        why = _LATE
        while self._socket is not None and len(found.armed) + len(found.refused) < len(self._names):
            self._socket.settimeout(max(0.001, until - linux.boottime()))
            try:
                text = self._socket.recv(MOST_BYTES)
            except OSError:
                break
            if not text:
                why = _DIED
                break
            self._take(found, json.loads(text))
        for name in self._names:
            if name not in found.armed and name not in found.refused:
                found.refused[name] = Refusal(why)
        return found

    @staticmethod
    def _take(found: Answers, word: Mapping[str, Any]) -> None:
        instance = word["instance"]
        if word["word"] == "ready":
            found.armed[instance] = Armed(word["boot"], word["folder"], int(word["pid"]))
        elif word["word"] in {"refused", "gone"}:
            found.armed.pop(instance, None)
            found.refused[instance] = Refusal(word["why"], word.get("more"))

    def hand_over(self, instances: Sequence[str]) -> Carried:
        """Return the socket for the guard, who alone may have it then."""
        if self._socket is None:
            message = "the carrier is closed"
            raise OSError(message)
        given, self._socket = self._socket, None
        return Carried(given, tuple(instances))

    def close(self) -> None:
        """Close our end, if nobody has it. The carrier then ends, and so does everything at a gate."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
