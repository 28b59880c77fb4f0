"""The launcher beside its script: it tells the server what happens, and ends what must not go on."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
from pathlib import Path
from typing import Any

from n2wbackup_run import kept, script
from n2wbackup_run.accounts import RefusedError
from n2wbackup_run.family import now, row, send
from n2wbackup_run.kept import Entry
from n2wbackup_run.script import Script

# The server ends a script at its deadline. This much later it is ended without the server.
LATE_SECONDS = 0.3
MOST_BYTES = 128 * 1024
_PR_SET_CHILD_SUBREAPER = 36
_LAST_TO_DIE, _FIRST_TO_DIE = "-900", "500"  # when memory runs out


def start(control: socket.socket, asked: Script) -> None:
    """Fork the script's process at its gate, tell the server who it is, and watch it to its end."""
    script.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # who leaves the group stays below us
    group = kept.make_group(f"n2wbackup-{asked.run}-{asked.phase}-{os.getpid()}", asked.account)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    pid = os.fork()
    if not pid:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        script.stand(asked)
    for descriptor in {
        asked.gate,
        asked.error,
        asked.stdout,
        asked.stderr,
        asked.file,
        asked.copy,
    } - {-1}:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        kept.join_group(group, pid)
    for process, score in (("self", _LAST_TO_DIE), (str(pid), _FIRST_TO_DIE)):
        with contextlib.suppress(OSError):
            Path("/proc", process, "oom_score_adj").write_text(score, encoding="ascii")
    entry = Entry(_known(asked, pid, group))
    keep_track(entry, freezes=asked.ends_with_caller)
    watch = _Watch(control, asked, entry, woken)
    watch.tell(said="standing", pid=pid, start=entry.start)
    watch.keep()
    entry.close()


def keep_track(entry: Entry, *, freezes: bool) -> None:
    """Write the script's file. Where it cannot be written, nothing is frozen, and what thaws runs all the same."""
    try:
        entry.write()
    except (OSError, RefusedError):
        if freezes:
            raise


def _known(asked: Script, pid: int, group: str) -> dict[str, Any]:
    own, its = row(os.getpid()), row(pid)
    return {
        "pid": pid,
        "start": its.start if its else 0,
        "launcher": os.getpid(),
        "launcher_start": own.start if own else 0,
        "group": group,
        "account": asked.account.name,
        "run": asked.run,
        "phase": asked.phase,
    }


class _Watch:
    def __init__(self, control: socket.socket, asked: Script, entry: Entry, woken: int) -> None:
        self._control, self._asked, self._woken = control, asked, woken
        self._pid, self._family = entry.pid, entry.family
        self._deadline: float | None = None
        self._is_released = self._has_ended = self._is_over = False
        self._is_called = True  # the server holds its end of the socket

    def tell(self, **words: object) -> None:
        """Tell the server; if it is gone, the launcher goes on all the same."""
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(words).encode())

    def keep(self) -> None:
        """Return when there is nothing left to do for the script."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while not self._is_over:
            wait = None
            if self._deadline is not None and not self._has_ended:
                wait = max(0.0, self._deadline - now()) * 1000 + 1
            for descriptor, _ in poll.poll(wait):
                if descriptor == self._woken:
                    os.read(self._woken, 65536)
                    self._reap()
                elif not self._hear():
                    poll.unregister(self._control)
            if self._deadline is not None and now() >= self._deadline and not self._has_ended:
                self._end(at_deadline=True)

    def _hear(self) -> bool:
        """Do what the server orders; False if its end of the socket is closed."""
        try:
            text = self._control.recv(MOST_BYTES)
        except OSError:
            text = b""
        if not text:
            self._on_lost()
            return False
        order = json.loads(text).get("order")
        if order == "released":
            self._is_released = True
            self._deadline = now() + self._asked.timeout + LATE_SECONDS
            send({self._pid}, signal.SIGCONT)  # somebody may have stopped it at its gate
            self.tell(said="released")  # else the server asks another launcher to continue both
        elif order == "end":
            self._end()
        return True

    def _on_lost(self) -> None:
        """The server's end of the socket is closed. An after may be about to succeed: its deadline ends it."""
        self._is_called = False
        if self._has_ended:
            self._is_over = True
        elif self._asked.ends_with_caller or not self._is_released:
            self._end()

    def _reap(self) -> None:
        """Collect whoever has died below us, and tell the server about the script itself."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self._pid:
                    self._has_ended = True
                    self.tell(said="ended", code=os.waitstatus_to_exitcode(status))
                    self._is_over = not (self._is_called and self._family.living())

    def _end(self, *, at_deadline: bool = False) -> None:
        """End all that came from the script; then there is nothing left to do."""
        if at_deadline:
            self.tell(said="late")
        is_gone = self._family.end(self._reap)
        self._reap()
        self.tell(said="gone" if is_gone else "stuck")
        self._is_over = True
