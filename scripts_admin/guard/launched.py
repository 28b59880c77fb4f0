"""A script's process as the launcher starts it, for a server that may not become other accounts.

The launcher stands beside it as root: it tells who the script is, and how it ended, and ends all that came from it.
The gate's pipe goes to the script's process itself, so nobody stands between "thaw" and the script.
"""

import json
import os
import selectors
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from n2wbackup.lib import trust
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import launching, linux
from scripts_admin.guard.forked import (
    NO_ACCOUNT_ERROR,
    Ends,
    Order,
    check_inside,
    close_all_but,
    open_copy,
    usable,
    why,
)
from scripts_admin.guard.launching import Call, LaunchError
from scripts_admin.guard.spool import NO_ACCOUNT, Record, ScriptCommand

# After this the launcher is taken for stopped: another one continues it, or ends the script in its place.
SILENT_SECONDS = 0.5
END_SECONDS = 3.5  # its TERM and KILL take 3 s
LOST_SECONDS = 8.0  # then the other one is silent, too


class Launched:
    """The process, and the socket to its launcher. After the constructor, all methods return at once."""

    kill_grace = 12.0  # its end comes as a message; this only bounds the wait
    launched = True

    def __init__(
        self,
        record: Record,
        command: ScriptCommand,
        ends: Ends,
        selector: selectors.BaseSelector,
        on_exit: Callable[[int | None], None],
        on_late: Callable[[], None],
    ) -> None:
        """Start it, and wait until it stands at its gate; `refusal` says why if it does not.

        `on_exit` gets its exit code, None if it cannot be known. `on_late`: the launcher ended it at its deadline.
        """
        self._selector, self._on_exit, self._on_late = selector, on_exit, on_late
        self.process = linux.Process(0, 0)
        self.refusal = ""
        self._has_launcher = True
        self._told = self._gone = self._is_ending = self._has_exited = False
        self._expected: tuple[float, str] | None = (
            None  # by when an answer comes, and else what to ask another for
        )
        self._errand: Call | None = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gate_read, self._gate = os.pipe()
        self._launcher = os.fork()
        if not self._launcher:
            _become_launcher(record, command, ours, theirs, gate_read, ends)
        theirs.close()
        os.close(gate_read)
        self._socket = ours
        try:
            self._settle()
        except LaunchError as error:
            self.refusal = str(error)
            self._close()

    def _settle(self) -> None:
        self._socket.settimeout(launching.START_SECONDS)
        found = launching.heard(self._socket)
        self._socket.settimeout(0.0)
        self.process = linux.Process(int(found["pid"]), int(found["start"]))
        self._selector.register(self._socket, selectors.EVENT_READ, self._hear)
        with suppress(OSError):
            self._selector.register(
                os.pidfd_open(self.process.pid), selectors.EVENT_READ, self._exited
            )

    @property
    def stands(self) -> bool:
        """Tell whether its launcher is there, even if nobody has listened to it meanwhile."""
        if self._has_launcher:
            with suppress(OSError):
                if not self._socket.recv(1, socket.MSG_PEEK):
                    self._lost()
        return self._has_launcher

    def let_go(self, order: Order) -> None:
        """Open the gate. The launcher learns of it first, so that it knows the deadline whatever happens next."""
        self._say("released")
        self._expect("wake", SILENT_SECONDS)
        with suppress(OSError):  # it died at the gate; the launcher says so
            os.write(self._gate, json.dumps(order).encode() + b"\n")

    def abandon(self) -> None:
        """Close the gate: the process exits by itself, and its launcher with it."""
        self._has_launcher = False
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1

    def terminate(self) -> None:
        """Have all that came from it ended: TERM, a second later KILL."""
        if not self._is_ending:
            self._is_ending = True
            self._say("end")
            self._expect("end", END_SECONDS)

    def kill(self) -> None:
        """Nothing to do: the launcher does it by itself."""

    def is_gone(self) -> bool:
        """Tell whether the launcher has said that nothing of it can act any more."""
        return self._gone

    def tick(self, now: float) -> None:
        """Ask another launcher where this one is silent."""
        if self._expected is None or now < self._expected[0] or (self._told and self._gone):
            return
        if self._errand is None:
            self._run_errand(self._expected[1])
        else:
            self._drop_errand()

    def _say(self, order: str) -> None:
        with suppress(OSError):
            self._socket.send(json.dumps({"order": order}).encode())

    def _expect(self, otherwise: str, seconds: float) -> None:
        if self._errand is None:
            self._expected = (linux.boottime() + seconds, otherwise)

    def _exited(self, descriptor: int) -> None:
        """The kernel tells that the script's own process has ended; the launcher knows how."""
        self._selector.unregister(descriptor)
        os.close(descriptor)
        self._has_exited = True
        if not self._told:
            self._expect("wake", SILENT_SECONDS)

    def _hear(self, _: int) -> None:
        try:
            found = launching.heard(self._socket)
        except LaunchError:
            self._lost()
            return
        self._take(found)

    def _take(self, found: Mapping[str, Any]) -> None:
        said = found.get("said")
        if said == "released":
            if not (self._has_exited or self._is_ending):
                self._expected = None
        elif said == "late":
            self._on_late()
        elif said in {"gone", "stuck"}:
            self._gone = True
            self._tell(None)
        elif said == "ended":
            self._expected = None if not self._is_ending else self._expected
            self._tell(int(found["code"]))

    def _lost(self) -> None:
        """The launcher is gone. If it has not told the script's end, another one makes sure of it."""
        self._close()
        if self._told:
            self._gone = True
            return
        self.abandon()  # a process that still stands at the gate exits
        self._expected = None
        self._run_errand("end")

    def _run_errand(self, what: str) -> None:
        make = launching.end_request if what == "end" else launching.wake_request
        self._close_errand()  # its answer would be taken for the new one's
        self._expected = (linux.boottime() + LOST_SECONDS, what)
        try:
            errand = self._errand = Call(make(self.process))
        except LaunchError:
            self._drop_errand()
            return
        self._selector.register(errand, selectors.EVENT_READ, lambda _: self._errand_done(errand))

    def _close_errand(self) -> None:
        if self._errand is not None:
            self._selector.unregister(self._errand)
            self._errand.close()
            self._errand = None

    def _errand_done(self, errand: Call) -> None:
        if self._errand is not errand:  # it was closed a moment ago
            return
        try:
            found = errand.answer(0.0)
        except LaunchError:
            self._drop_errand()
            return
        self._close_errand()
        if found["said"] != "awake":
            self._take(found)
        elif self._expected is not None:  # if it stays silent even so, it is ended
            self._expected = (linux.boottime() + LOST_SECONDS, "end")

    def _drop_errand(self) -> None:
        """End the script where nobody could continue its launcher; where nobody can end it, take it for blocked."""
        self._close_errand()
        if self._expected is None:  # the launcher has answered by itself meanwhile
            return
        if self._expected[1] == "wake":
            self._run_errand("end")
            return
        self._expected = None
        self._gone = True
        self._tell(None)

    def _tell(self, code: int | None) -> None:
        if not self._told:
            self._told = True
            self._on_exit(code)

    def _close(self) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(self._socket)
        self._socket.close()
        with suppress(ChildProcessError):
            os.waitpid(self._launcher, os.WNOHANG)


def _become_launcher(
    record: Record,
    command: ScriptCommand,
    ours: socket.socket,
    theirs: socket.socket,
    gate: int,
    ends: Ends,
) -> NoReturn:
    """Open the files, send them, and turn this forked child into sudo and the launcher. Never returns.

    The guard itself opens nothing: a share that hangs must not stop it.
    """
    try:
        os.setsid()
        # First the run's lock: while a share hangs below, nobody else could thaw.
        close_all_but(ours.fileno(), theirs.fileno(), gate, ends.error, ends.stdout, ends.stderr)
        request, files = _request(record, command)
        everything = [gate, ends.error, ends.stdout, ends.stderr, *files]
        socket.send_fds(ours, [json.dumps(request).encode()], everything)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(theirs.fileno(), 0)
        os.dup2(null, 1)
        os.dup2(ends.error, 2)
        close_all_but()
        os.execve(launching.SUDO, launching.COMMAND, launching.ENVIRONMENT)
    except Exception as problem:  # noqa: BLE001 - whoever reads the output must learn it
        os.write(ends.error, why(command, problem))
    finally:
        os._exit(127)


def _request(record: Record, command: ScriptCommand) -> tuple[Mapping[str, object], list[int]]:
    """Return the launcher's request, and the descriptors of the judged file and of its copy, as far as there are."""
    identity = record.identity
    if identity is None or identity == NO_ACCOUNT:
        raise NO_ACCOUNT_ERROR
    problem: OSError | None = None
    found: dict[bool, int] = {}
    paths = usable(record, command)
    for number, path in paths:
        is_copy = number > 0
        try:
            found[is_copy] = _open_copy(path) if is_copy else _open_judged(path, record.folder)
        except OSError as error:
            problem = problem or error
    if not found:
        raise problem or FileNotFoundError
    request = {
        "do": "run",
        "account": identity.name,
        "uid": identity.uid,
        "run": record.run,
        "phase": command.phase,
        "folder": record.folder if paths[0][0] == 0 else "/",  # nobody enters one that hangs
        "path": command.paths[0],
        "environment": dict(record.environment),
        "timeout": command.timeout_seconds,
        "ends_with_caller": command.phase == Phase.BEFORE,
        "has_file": False in found,
        "has_copy": True in found,
    }
    return request, [found[key] for key in sorted(found)]


def _open_judged(path: str, folder: str) -> int:
    check_inside(path, folder)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermissionError(13, "it is no regular file")
    return descriptor


def _open_copy(path: str) -> int:
    found = open_copy(path)
    try:
        return trust.opened(found)
    finally:
        os.close(found)
