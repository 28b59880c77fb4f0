"""One script under a guard: forked at a gate, released, read, ended and reaped. The guard never blocks on it.

The fork happens before the window opens, and the pid is in the journal. Inside the window only a byte string
goes through a pipe. If the guard dies, the gate closes, and a script that was not released never starts.
"""

import errno
import json
import os
import selectors
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypedDict

from n2wbackup.lib import trust
from n2wbackup.lib.trust import UntrustedError
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import linux
from scripts_admin.guard.capture import LIMIT_BYTES, Capture
from scripts_admin.guard.journal import Writer
from scripts_admin.guard.spool import NO_ACCOUNT, Record, RunAs, ScriptCommand
from scripts_admin.guard.tail import Tail

READ_BYTES = 65536
TERM_GRACE_SECONDS = 1.0  # from TERM to KILL; the application may be frozen during this time
KILL_GRACE_SECONDS = 2.0  # a killed process may be blocked in a write to the frozen disk: go on without waiting longer
RECHECK_SECONDS = 0.01
_NOT_STARTED = 127


class Order(TypedDict):
    """What a script gets only when its gate opens."""

    arguments: list[str]
    environment: dict[str, str]


class Script:
    """A script in its own session and process group. All methods return at once."""

    def __init__(
        self,
        record: Record,
        command: ScriptCommand,
        journal: Writer,
        selector: selectors.BaseSelector,
        on_end: Callable[["Script"], None],
        secrets: Sequence[bytes] = (),
        attempt: int = 1,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Fork the script's process, which waits at the gate; its pid is in the journal on return."""
        self.command, self.attempt = command, attempt
        self.outcome = Outcome.NOT_RUN
        self.exit_code: int | None = None
        self.ended_boot: float | None = None
        self._journal, self._selector, self._on_end = journal, selector, on_end
        self._stdout = Capture(secrets, limit_bytes)
        self._stderr = Capture(secrets, limit_bytes)
        self._collect = record.collect_output
        self._deadline: float | None = None
        self._ending: Outcome | None = None
        self._give_up: float | None = None
        self._leader_is_gone = False
        self._fork(record)
        # Nothing may be frozen without a journal line; a thaw goes on without one.
        self._put = journal.write if command.phase == Phase.BEFORE else journal.note
        self._put(
            "spawned",
            phase=command.phase,
            attempt=attempt,
            pid=self.process.pid,
            start_ticks=self.process.start_ticks,
        )

    def _fork(self, record: Record) -> None:
        gate_read, self._gate = os.pipe()
        self._error, error_write = os.pipe()
        os.set_blocking(self._error, False)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        pid = os.fork()
        if not pid:
            _become_script(record, self.command, gate_read, error_write, out_write, err_write)
        for descriptor in (gate_read, error_write, out_write, err_write):
            os.close(descriptor)
        self.process = linux.identify(pid)
        self._pidfd = os.pidfd_open(pid)
        for descriptor, capture in ((out_read, self._stdout), (err_read, self._stderr)):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, self._reader(capture))
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._on_exit)

    @property
    def waits_at_gate(self) -> bool:
        """Tell whether the process is alive and its gate was not opened yet."""
        return self._deadline is None and self.ended_boot is None

    @property
    def ended(self) -> bool:
        """Tell whether the script's own process has ended, or was killed and cannot do anything more."""
        return self.ended_boot is not None

    @property
    def deadline(self) -> float | None:
        """Return the boot time at which `tick` has something to do; None if there is nothing."""
        return None if self.ended else self._deadline

    def release(self, argument: str | None, seconds_left: float) -> None:
        """Open the script's gate; the journal says so before the script runs its first instruction."""
        self._put(
            "ordered",
            phase=self.command.phase,
            attempt=self.attempt,
            argument=argument,
            script=self.command.name,
        )
        self._deadline = linux.boottime() + self.command.timeout_seconds
        order: Order = {
            "arguments": [] if argument is None else [argument],
            "environment": {
                "N2W_PHASE": self.command.phase,
                "N2W_ATTEMPT": str(self.attempt),
                "N2W_TIMEOUT_SECONDS": f"{self.command.timeout_seconds:g}",
                "N2W_SECONDS_LEFT": str(max(0, int(seconds_left))),
            },
        }
        linux.signal_group(self.process, signal.SIGCONT)  # somebody may have stopped it at its gate
        with suppress(BrokenPipeError):  # it died at the gate; its exit code says so
            os.write(self._gate, json.dumps(order).encode() + b"\n")

    def abandon(self) -> None:
        """Close the gate of a script that must not run; its process exits by itself."""
        os.close(self._gate)

    def end(self, outcome: Outcome) -> None:
        """Begin to end the script's group: TERM now, KILL a second later; the script gets this `outcome`."""
        if self.ended or self._ending:
            return
        self._ending = outcome
        linux.signal_group(self.process, signal.SIGTERM)
        self._deadline = linux.boottime() + TERM_GRACE_SECONDS

    def tick(self, now: float) -> None:
        """Do what is due at boot time `now`."""
        if self.deadline is None or now < self.deadline:
            return
        if not self._ending:
            self.end(Outcome.TIMED_OUT)
        elif self._give_up is None:
            self._give_up = now + KILL_GRACE_SECONDS
            self._kill(now)
        elif now >= self._give_up or (self._leader_is_gone and linux.group_is_gone(self.process)):
            self._finish(self._ending, self.exit_code)
        else:
            self._kill(now)

    def _kill(self, now: float) -> None:
        linux.signal_group(self.process, signal.SIGKILL)
        self._deadline = now + RECHECK_SECONDS

    def show(self, folder: Path) -> None:
        """Have what it prints in files of this folder in memory while it runs; never within a window."""
        if self._collect:
            for stream, capture in (("stdout", self._stdout), ("stderr", self._stderr)):
                capture.tell = Tail(folder, self.command.phase, stream).write

    def write_output(self) -> None:
        """Write the script's output so far into the journal."""
        if self._collect:
            self._journal.note(
                "output",
                phase=self.command.phase,
                attempt=self.attempt,
                stdout=self._stdout.text(),
                stderr=self._stderr.text(),
            )

    def _reader(self, capture: Capture) -> Callable[[int], None]:
        def read(descriptor: int) -> None:
            with suppress(BlockingIOError):
                chunk = os.read(descriptor, READ_BYTES)
                if chunk:
                    capture.feed(chunk)
                else:
                    self._selector.unregister(descriptor)
                    os.close(descriptor)

        return read

    def _on_exit(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(self.process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if self.ended:
            return
        if self._deadline is None:  # it was killed at the gate: it never ran
            self.ended_boot = linux.boottime()
            return
        if self._ending:
            # The leader is gone, but its children may live: none of them may do anything once after runs.
            self._leader_is_gone, self.exit_code = True, code
            self._deadline = linux.boottime()
            return
        error = self._start_error()
        if error:
            self._stderr.feed(error)
            self._finish(Outcome.CRASHED, None)
        else:
            self._finish(Outcome.FAILED if code else Outcome.SUCCEEDED, code)

    def _start_error(self) -> bytes:
        """Return why the child could not start its file; empty if it did, because exec closes the pipe."""
        with suppress(BlockingIOError):
            return os.read(self._error, READ_BYTES)
        return b""

    def _finish(self, outcome: Outcome, code: int | None) -> None:
        self.outcome, self.exit_code, self.ended_boot = outcome, code, linux.boottime()
        self._journal.note(
            "ended",
            phase=self.command.phase,
            attempt=self.attempt,
            outcome=outcome,
            exit_code=code,
        )
        self._on_end(self)


def _become_script(
    record: Record,
    command: ScriptCommand,
    gate: int,
    error: int,
    stdout: int,
    stderr: int,
) -> NoReturn:
    """Turn this forked child into the script when the gate opens. Never returns."""
    try:
        os.setsid()
        _keep_only(gate, error, stdout, stderr)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        _rehearse(record, command)
        order = _wait_at(gate)
        if order is None:
            os._exit(0)
        _run(record, command, order)
    except Exception as problem:  # noqa: BLE001 - such as a NUL in an argument; whoever reads the output must learn it
        words = problem.strerror if isinstance(problem, OSError) else None
        why = str(problem) if isinstance(problem, UntrustedError) else words or str(problem)
        line = f"{command.name} could not be started: {why}\n"
        os.write(error, line.encode("utf-8", "replace"))
    finally:
        os._exit(_NOT_STARTED)


def _keep_only(gate: int, error: int, stdout: int, stderr: int) -> None:
    """Close all but the standard streams, the gate and the error pipe in the child; above all the run's lock."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    low, high = sorted((gate, error))
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))


def _rehearse(record: Record, command: ScriptCommand) -> None:
    """Run the code from the gate to the script once, up to an exec that fails, while nothing is frozen.

    A forked child copies each page of memory at its first write. This must not cost time while the application
    is frozen.
    """
    order: Order = {"arguments": ["1"], "environment": {"N2W_PHASE": command.phase}}
    with suppress(OSError):
        _execute(os.devnull, record, json.loads(json.dumps(order)))
    for number, path in enumerate(command.paths):
        with suppress(OSError):
            _check(path, record, number)


def _wait_at(gate: int) -> Order | None:
    text = b""
    while not text.endswith(b"\n"):
        chunk = os.read(gate, READ_BYTES)
        if not chunk:
            return None
        text += chunk
    order: Order = json.loads(text)
    return order


def _run(record: Record, command: ScriptCommand, order: Order) -> None:
    """Execute the first path that can be executed; if none can, raise the OSError of the first."""
    if record.identity is not None:
        become(record.identity)
    with suppress(OSError):  # the folder may be gone; the copy in the spool still runs
        os.chdir(record.folder)
    problem: OSError | None = None
    for number, path in enumerate(command.paths):
        try:
            _check(path, record, number)
            _execute(path, record, order)
        except OSError as raised:
            problem = problem or raised
    raise problem or FileNotFoundError


def _execute(path: str, record: Record, order: Order) -> NoReturn:
    environment = dict(record.environment) | order["environment"]
    os.execve(path, [path, *order["arguments"]], environment)


def _check(path: str, record: Record, number: int) -> None:
    if number == 0:
        _check_inside(path, record.folder)
    else:
        _check_copy(path)


def become(identity: RunAs) -> None:
    """Turn this process into the account, for good."""
    if identity == NO_ACCOUNT:
        raise UntrustedError(
            "its record names no account, and scripts run as root only with N2W_RUN_SCRIPTS_AS=self",
            "thaw by hand and confirm it",
        )
    os.setgroups(identity.groups)
    os.setgid(identity.gid)
    os.setuid(identity.uid)


def _check_inside(path: str, folder: str) -> None:
    """Refuse a file that was replaced by a link out of its folder after it was checked."""
    inside = os.path.realpath(folder)
    if os.path.commonpath([os.path.realpath(path), inside]) != inside:
        raise PermissionError(errno.EACCES, "it is a link that leads out of its folder")


def _check_copy(path: str) -> None:
    """Refuse a copy that anybody but the server can have changed.

    This process is the script's account by now: a former release gave the copies to it, in a folder of the server's.
    """
    place = Path(path)
    try:
        with trust.folder(place.parent) as within, trust.file(place, within=within):
            pass
    except UntrustedError:
        raise UntrustedError(
            f"another account may have changed its copy {path}", "thaw by hand and confirm it"
        ) from None
