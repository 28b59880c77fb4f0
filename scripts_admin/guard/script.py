"""One script under a guard: started at a gate, released, read, ended and reaped. The guard never blocks on it.

Its process is there before the window opens, and the pid is in the journal. Inside the window only a byte string
goes through a pipe. If the guard dies, the gate closes, and a script that was not released never starts.
"""

import os
import selectors
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import launching, linux, mark
from scripts_admin.guard.capture import LIMIT_BYTES, Capture
from scripts_admin.guard.forked import READ_BYTES, Ends, Forked, Order
from scripts_admin.guard.journal import Writer
from scripts_admin.guard.launched import Launched
from scripts_admin.guard.spool import Record, ScriptCommand
from scripts_admin.guard.tail import Tail

TERM_GRACE_SECONDS = 1.0  # from TERM to KILL; the application may be frozen during this time
RECHECK_SECONDS = 0.01


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
        """Start the script's process, which waits at the gate; its pid is in the journal on return."""
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
        self._said = b""
        # Nothing may be frozen without a journal line; a thaw goes on without one.
        self._put = journal.write if command.phase == Phase.BEFORE else journal.note
        self._child = self._start(record)
        # Why the launcher does not start it; "" if it stands at its gate.
        self.refusal = self._why_refused()
        if not self.refusal:
            self._put(
                "spawned",
                phase=command.phase,
                attempt=attempt,
                pid=self.process.pid,
                start_ticks=self.process.start_ticks,
                launched=self._child.launched,
            )

    def _start(self, record: Record) -> Forked | Launched:
        self._error, error_write = os.pipe()
        os.set_blocking(self._error, False)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        ends = Ends(error_write, out_write, err_write)
        around = (record, self.command, ends, self._selector, self._on_exit)
        needs_launcher = launching.is_needed(record.identity)
        child = Launched(*around, self._on_late) if needs_launcher else Forked(*around)
        ends.close()
        for descriptor, capture in ((out_read, self._stdout), (err_read, self._stderr)):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, self._reader(capture))
        return child

    @property
    def process(self) -> linux.Process:
        """The script's own process."""
        return self._child.process

    def _why_refused(self) -> str:
        if not self._child.refusal:
            return ""
        _, said = self._told()
        words = said.decode("utf-8", "replace").strip()
        if words and not words.startswith(self.command.name):
            return launching.refused_by_sudo(words)
        return words or self._child.refusal

    @property
    def waits_at_gate(self) -> bool:
        """Tell whether the process is alive and its gate was not opened yet."""
        return self._deadline is None and self.ended_boot is None and self._child.stands

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
        if self.refusal:
            self._stderr.feed(f"{self.refusal}\n".encode())
            self._finish(Outcome.CRASHED, None)
        else:
            self._child.let_go(order)

    def abandon(self) -> None:
        """Close the gate of a script that must not run; its process exits by itself."""
        self._child.abandon()

    def end(self, outcome: Outcome) -> None:
        """Begin to end the script's group: TERM now, KILL a second later; the script gets this `outcome`."""
        if self.ended or self._ending:
            return
        self._ending = outcome
        self._child.terminate()
        self._deadline = linux.boottime() + TERM_GRACE_SECONDS

    def tick(self, now: float) -> None:
        """Do what is due at boot time `now`."""
        if not self.ended:
            self._child.tick(now)
        if self.deadline is None or now < self.deadline:
            return
        if not self._ending:
            self.end(Outcome.TIMED_OUT)
        elif self._give_up is None:
            self._give_up = now + self._child.kill_grace
            self._kill(now)
        elif now >= self._give_up or (self._leader_is_gone and self._child.is_gone()):
            self._finish(self._ending, self.exit_code)
        else:
            self._kill(now)

    def _kill(self, now: float) -> None:
        self._child.kill()
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

    def _on_late(self) -> None:
        """Take note that the launcher ends the script at its deadline: this process was too late to do it."""
        if self._deadline is not None:
            self.end(Outcome.TIMED_OUT)

    def _on_exit(self, code: int | None) -> None:
        """Take the exit code of the script's own process; None if nobody can tell it."""
        if self.ended:
            return
        if self._deadline is None:  # it was killed at the gate: it never ran
            self.ended_boot = linux.boottime()
            return
        if code is None and not self._ending:
            self._ending = Outcome.INTERRUPTED
        if self._ending:
            # The leader is gone, but its children may live: none of them may do anything once after runs.
            self._leader_is_gone, self.exit_code = True, code
            self._deadline = linux.boottime()
            return
        _, error = self._told()
        if error:
            self._stderr.feed(error)
            self._finish(Outcome.CRASHED, None)
        else:
            self._finish(Outcome.FAILED if code else Outcome.SUCCEEDED, code)

    def _told(self) -> tuple[mark.Ran | None, bytes]:
        """Return which file the child executed, and why it could not; the latter is empty if it could."""
        with suppress(BlockingIOError):
            self._said += os.read(self._error, READ_BYTES)
        return mark.split(self._said)

    def _finish(self, outcome: Outcome, code: int | None) -> None:
        self.outcome, self.exit_code, self.ended_boot = outcome, code, linux.boottime()
        ran, _ = self._told()
        self._journal.note(
            "ended",
            phase=self.command.phase,
            attempt=self.attempt,
            outcome=outcome,
            exit_code=code,
            ran=ran and [ran.number, *ran.mark],
        )
        self._on_end(self)
