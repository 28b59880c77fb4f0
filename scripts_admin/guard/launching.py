"""Talk to the launcher: a server that is not root has scripts run as their accounts by it, through sudo.

Its own side is deploy/launcher. A request goes over a socket that is its standard input; sudo closes every other
descriptor. Nothing secret is in a request, in sudo's arguments or in its environment.
"""

import json
import os
import re
import select
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from scripts_admin.guard import linux
from scripts_admin.guard.spool import RunAs

LAUNCHER, SUDO = "/usr/local/libexec/n2wbackup-run", "/usr/bin/sudo"
OF_LAUNCHER = "/usr/local/lib/n2wbackup-run/n2wbackup_run/__init__.py"
ACCOUNTS = "/etc/n2wbackup/accounts"
COMMAND = [SUDO, "-n", LAUNCHER]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# Of what is said between server and launcher; deploy/launcher/n2wbackup_run has its own.
VERSION = 1
INSTALL = "run deploy/launcher/install as root"
START_SECONDS = 12.0  # sudo and a Python, on a machine with much other work
MOST_BYTES = 128 * 1024
_MOST_WORDS = 500  # of what sudo says


class LaunchError(OSError):
    """The launcher does not do what it was asked for; the text says why and what to do."""

    def __str__(self) -> str:
        return str(self.args[0])


def is_needed(identity: RunAs | None) -> bool:
    """Tell whether this process needs the launcher to become the account."""
    return identity is not None and os.geteuid() != 0


def why_not(identity: RunAs | None = None) -> str:
    """Return what the launcher lacks to run scripts as the account (None: as any), and what mends it; "" if nothing.

    It only looks; `check` starts the launcher.
    """
    for path in (SUDO, LAUNCHER):
        if not Path(path).exists():
            return f"{path} is missing: {INSTALL}"
    if Path(LAUNCHER).stat().st_uid != 0:
        return f"{LAUNCHER} does not belong to root: {INSTALL}"
    other = _of_another_release(_installed_version())
    if other or identity is None:
        return other
    try:
        lines = Path(ACCOUNTS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    if not any(line.split()[:1] == [identity.name] for line in lines):
        return f"{identity.name} is not in {ACCOUNTS}: run provision_user {identity.name} as root"
    return ""


def _installed_version() -> int:
    """Return the version in the installed launcher's file; ours if that cannot be read, as `check` asks it."""
    try:
        text = Path(OF_LAUNCHER).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return VERSION
    found = re.search(r"^VERSION = (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else VERSION


def _of_another_release(version: object) -> str:
    """Return what to do about a launcher of that version; "" if it is ours."""
    if version == VERSION:
        return ""
    if isinstance(version, int) and version > VERSION:
        return (
            f"{LAUNCHER} is of a newer release (it speaks version {version}, and this server {VERSION}): restart the "
            "server with that release"
        )
    return f"{LAUNCHER} is of another release (it speaks version {version!r}, and this server {VERSION}): {INSTALL}"


class Call:
    """A started launcher that serves one request."""

    def __init__(self, request: Mapping[str, object]) -> None:
        """Start it. LaunchError if there is no sudo."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = ours
        with theirs:
            try:
                self._process = subprocess.Popen(
                    COMMAND,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=ENVIRONMENT,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise LaunchError(
                    f"{SUDO} cannot be started ({error.strerror}): {INSTALL}"
                ) from error
        self.say(request)

    def fileno(self) -> int:
        return self.socket.fileno()

    def say(self, words: Mapping[str, object]) -> None:
        """Send it words; if it is gone, the next answer tells why."""
        with suppress(OSError):
            self.socket.send(json.dumps(words).encode())

    def answer(self, within_seconds: float) -> dict[str, Any]:
        """Return its next answer; LaunchError if it refuses, is gone, or says nothing for so long."""
        until = linux.boottime() + within_seconds
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        if not poll.poll(max(0.0, until - linux.boottime()) * 1000):
            raise LaunchError(f"{LAUNCHER} does not answer: look at the machine's load")
        return heard(self.socket, self._words)

    def close(self) -> None:
        """Close the socket: it ends."""
        self.socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0)
        if self._process.stderr:
            self._process.stderr.close()

    def _words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        if self._process.stderr is None or self._process.returncode is None:
            return ""
        return bytes(self._process.stderr.read()).decode("utf-8", "replace")


def heard(channel: socket.socket, words: Callable[[], str] = str) -> dict[str, Any]:
    """Return what the launcher says; LaunchError if it refuses or is gone. `words` returns what sudo has printed."""
    try:
        text = channel.recv(MOST_BYTES)
    except OSError:
        text = b""
    if not text:
        raise LaunchError(refused_by_sudo(words()))
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise LaunchError(f"{LAUNCHER} gives no whole answer: {INSTALL}") from error
    if found.get("said") == "refused":
        raise LaunchError(str(found.get("why")))
    return found


def refused_by_sudo(words: str) -> str:
    """Return the sentence for a launcher that did not begin, with what sudo has printed."""
    said = " ".join(words.split())[:_MOST_WORDS] or "it printed nothing"
    return f"sudo does not start {LAUNCHER} ({said}): {INSTALL}"


def ask(request: Mapping[str, object], within_seconds: float = START_SECONDS) -> dict[str, Any]:
    """Return the only answer to a request; LaunchError if there is none in time."""
    call = Call(request)
    try:
        return call.answer(within_seconds)
    finally:
        call.close()


def check() -> None:
    """Start the launcher once; LaunchError if that does not work, or if it is not the one of this release."""
    other = _of_another_release(ask({"do": "hello"}).get("version"))
    if other:
        raise LaunchError(other)


def end(process: linux.Process, wait_seconds: float = 0.0) -> bool:
    """End what is left of a launched script, after so many seconds; tell whether all of it is gone.

    The launcher sees every process, also where /proc is closed to us.
    """
    request = end_request(process, wait_seconds)
    return bool(ask(request, START_SECONDS + wait_seconds)["said"] == "gone")


def end_request(process: linux.Process, wait_seconds: float = 0.0) -> dict[str, object]:
    return {"do": "end", "pid": process.pid, "start": process.start_ticks, "wait": wait_seconds}


def wake_request(process: linux.Process) -> dict[str, object]:
    return {"do": "wake", "pid": process.pid, "start": process.start_ticks}


def end_leftovers(run: str) -> Sequence[Mapping[str, Any]]:
    """End what the scripts of a run have left behind; return what is left. LaunchError if it cannot be asked."""
    for each in leftovers(run):
        end(linux.Process(int(each["pid"]), int(each["start"])))
    return leftovers(run)


def leftovers(run: str) -> Sequence[Mapping[str, Any]]:
    """Return the run's scripts that left processes behind: account, run, phase, and each process's pid and name.

    Of very many processes, not all are named. LaunchError if the launcher cannot be asked.
    """
    found: Sequence[Mapping[str, Any]] = ask({"do": "leftovers", "run": run})["of"]
    return [each for each in found if each["run"] == run]
