"""The guard: a small process outside the worker that keeps one window, and thaws even if other processes die.

It runs before, reports the outcome to the worker, waits for "thaw" and runs after. When the worker's pipe
closes or the deadline passes, it thaws by itself, at once, with the right argument. It decides about time in the
window: its answer to "thaw" says who began the thaw. It holds the run's lock as long as it lives, writes to
tmpfs only, and imports only the standard library and what stands on it alone (the masker), because it is forked
from a preloaded parent.
"""

import os
import selectors
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Protocol

from setproctitle import setproctitle

from scripts_admin.domain.phases import FINE, Outcome, Phase, ThawBy
from scripts_admin.guard import burying, journal, linux, spool
from scripts_admin.guard.capture import LIMIT_BYTES, REPEATED_LIMIT_BYTES
from scripts_admin.guard.instances import FETCH_SECONDS, HURRY_SECONDS, Carried, Instances
from scripts_admin.guard.launching import LaunchError
from scripts_admin.guard.script import Script

LOADED_IN = os.getpid()  # the forkserver's pid, unless its preload failed without a message
# Look this often: the selector's clock stops while the machine sleeps, and a dead worker's pipe may stay open.
IDLE_SECONDS = 0.5


class Lock:
    """The descriptor that holds a run's flock, while one process hands it to the next.

    The flock belongs to the open file, so at every moment at least one process holds it.
    """

    def __init__(self, descriptor: int) -> None:
        """The process that receives it gets a duplicate of the descriptor."""
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[object, ...]:
        """Send the descriptor itself with the pickle."""
        return _receive_lock, (DupFd(self.descriptor),)


class _Detachable(Protocol):
    def detach(self) -> int: ...


def _receive_lock(sent: _Detachable) -> Lock:
    return Lock(sent.detach())


@dataclass(frozen=True, slots=True)
class Orders:
    """Where a guard finds its run. `lock` holds the run's flock; `secrets` are masked in outputs.

    `worker` is the process that gave the orders: when it dies, its window is thawed. `as_itself`: scripts may run
    as the server's own account even if that is root (N2W_RUN_SCRIPTS_AS=self). `carriers` reach the instances whose
    scripts run there: nobody else may have a copy of their sockets, or they would not notice that the guard is gone.
    """

    spool_folder: Path
    runtime_folder: Path
    lock: Lock
    worker: linux.Process
    secrets: tuple[bytes, ...] = ()
    as_itself: bool = False
    carriers: tuple[Carried, ...] = ()


def keep_window(pipe: Connection, orders: Orders) -> None:
    """Be the guard of one window: the entry point of the process. Returns when after has ended."""
    record, lock = _settle_in(orders)
    writer = journal.Writer(orders.runtime_folder)
    writer.note_guard()
    if record.instances:
        writer.write("armed")
    try:
        window = Window(pipe, record, writer, orders)
    except LaunchError as error:  # nothing is frozen yet, and nothing can be
        os.close(lock)
        _tell(pipe, "refused", str(error))
        return
    _tell(pipe, "ready", os.getpid() != LOADED_IN)
    window.keep()
    os.close(lock)  # first: when others learn of the end, nobody may hold the run any more
    _tell(pipe, "over", None)


def run_single(pipe: Connection, orders: Orders, phase: Phase, argument: str, attempt: int) -> None:
    """Run one script outside a window: a repeated after, or complete. The entry point of the process.

    Before an after starts, it makes sure that before and all earlier afters are dead, whoever started them.
    """
    record, lock = _settle_in(orders)
    if phase == Phase.AFTER:
        burying.bury(journal.read(orders.runtime_folder), record)
    command = record.command(phase)
    if command is not None:
        writer = journal.Writer.or_none(orders.runtime_folder)
        writer.note_guard()
        writer.note("opened")  # the journal with the first "opened" may have been lost
        if phase == Phase.AFTER and attempt == 1:
            # The window's own guard died before it could run after, whoever asked for this attempt.
            writer.note("thaw", by=ThawBy.LOST)
        selector = selectors.DefaultSelector()
        # The journal is in memory that many share: a short output is enough for an attempt that fails each minute.
        limit = LIMIT_BYTES if attempt == 1 else REPEATED_LIMIT_BYTES
        script = Script(
            record, command, writer, selector, lambda _: None, orders.secrets, attempt, limit
        )
        if phase == Phase.COMPLETE:  # while a repeated after runs, the application may be frozen
            script.show(orders.runtime_folder)
        script.release(argument, command.timeout_seconds)
        while not script.ended:
            _turn(selector, [script], None)
        script.write_output()
    os.close(lock)
    _tell(pipe, "done", None)


def _settle_in(orders: Orders) -> tuple[spool.Record, int]:
    """Leave the worker's session and streams, ignore the signals that would end us, and read the record."""
    lock = orders.lock.descriptor
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    setproctitle(f"n2wbackup guard {orders.spool_folder.name}")
    return _with_account(spool.read_any(orders.spool_folder), orders), lock


def _with_account(record: spool.Record, orders: Orders) -> spool.Record:
    """Return the record; where it would run scripts as root, and must not, they get an account that nobody can become.

    Such a script fails to start, and the journal says why.
    """
    uid = os.geteuid() if record.identity is None else record.identity.uid
    return record if uid or orders.as_itself else replace(record, identity=spool.NO_ACCOUNT)


def _tell(pipe: Connection, what: str, value: object) -> None:
    """Send a message to the worker; if the worker is gone, the guard goes on all the same."""
    with suppress(OSError):
        pipe.send((what, value))


def _turn(selector: selectors.BaseSelector, scripts: Sequence[Script], until: float | None) -> bool:
    """Handle what is readable, or wait for the nearest deadline; return whether there was anything to read."""
    moments = [m for m in (*(script.deadline for script in scripts), until) if m is not None]
    now = linux.boottime()
    wait = min([IDLE_SECONDS, *(max(0.0, moment - now) for moment in moments)])
    ready = selector.select(wait)
    for key, _ in ready:
        key.data(key.fd)
    now = linux.boottime()
    for script in scripts:
        script.tick(now)
    return bool(ready)


class Window:
    """The loop of one window, in one thread.

    before, the befores on instances, the wait for "thaw", the afters on instances, after: each step begins when the
    one before it has ended.
    """

    def __init__(
        self,
        pipe: Connection,
        record: spool.Record,
        writer: journal.Writer,
        orders: Orders,
    ) -> None:
        """Fork both scripts and hold them at their gates."""
        self._pipe, self._record, self._writer = pipe, record, writer
        self._secrets, self._worker = orders.secrets, orders.worker
        self._selector = selectors.DefaultSelector()
        self._after = self._fork(Phase.AFTER)
        self._before = self._fork(Phase.BEFORE)
        for script in (self._after, self._before):
            if script and script.refusal:
                raise LaunchError(script.refusal)
        self._selector.register(pipe.fileno(), selectors.EVENT_READ, self._on_word)
        # None where there are none: a window without them must not even look at the code that they need.
        self._instances = self._reach(orders) if record.instances else None
        self._opened: float | None = None
        self._thaw_by: ThawBy | None = None
        self._is_lost = self._told_before = self._is_after_ordered = self._over = False

    def _reach(self, orders: Orders) -> Instances:
        around = self._record, orders.carriers, self._writer, self._selector
        return Instances(*around, self._on_instances, orders.secrets)

    def _fork(self, phase: Phase) -> Script | None:
        command = self._record.command(phase)
        if command is None:
            return None
        on_end = self._on_before_end if phase == Phase.BEFORE else self._on_after_end
        return Script(self._record, command, self._writer, self._selector, on_end, self._secrets)

    def keep(self) -> None:
        """Loop until the window is over, then write the outputs."""
        while not self._over:
            self._take_a_turn()
        if self._opened is None:
            return
        for script in (self._before, self._after):
            if script:
                script.write_output()
        if self._instances is not None:
            self._end(self._instances)

    def _take_a_turn(self) -> None:
        scripts = [script for script in (self._before, self._after) if script]
        until = self._deadline
        if self._instances is not None and self._instances.deadline is not None:
            until = min(until or self._instances.deadline, self._instances.deadline)
        busy = _turn(self._selector, scripts, until)
        if self._is_overdue:
            self._thaw(ThawBy.DEADLINE)
        elif not busy and not self._is_lost and linux.is_dying(self._worker):
            self._on_lost()
        if self._instances is not None:
            self._instances.tick(linux.boottime())

    def _end(self, instances: Instances) -> None:
        """Fetch what was printed there; nothing is frozen there any more, or the instances see to it themselves."""
        is_thawed = self._after is None or self._after.outcome in FINE
        instances.fetch(FETCH_SECONDS if is_thawed else HURRY_SECONDS)
        while not instances.outputs_are_known:
            self._take_a_turn()
        instances.write_outputs()
        instances.close()

    @property
    def _deadline(self) -> float | None:
        if self._opened is None or self._thaw_by:
            return None
        return self._opened + self._record.max_freeze_seconds

    @property
    def _is_overdue(self) -> bool:
        return self._deadline is not None and linux.boottime() >= self._deadline

    def _on_word(self, _: int) -> None:
        try:
            word = self._pipe.recv()
        except (EOFError, OSError):
            self._on_lost()
            return
        if word == "go":
            self._open()
        elif word == "thaw":
            # Past the deadline the hold was too long, even if it was this guard that slept.
            self._thaw(ThawBy.DEADLINE if self._is_overdue else ThawBy.WORKER)
            _tell(self._pipe, "thawing", self._thaw_by)

    def _on_lost(self) -> None:
        self._is_lost = True
        self._selector.unregister(self._pipe.fileno())
        if self._opened is not None:
            self._thaw(ThawBy.LOST)
            return
        for script in (self._before, self._after):
            if script:
                script.abandon()
        if self._instances is not None:
            self._instances.close()
        self._over = True

    def _open(self) -> None:
        self._opened = linux.boottime()
        self._writer.write("opened")
        if self._before:
            self._before = self._at_gate(self._before)
            self._before.release(None, self._record.max_freeze_seconds)
        else:
            self._go_there()

    @property
    def _outcome(self) -> Outcome:
        return self._before.outcome if self._before else self._record.before_outcome

    def _on_before_end(self, before: Script) -> None:
        if self._instances is None:  # as short as it gets: the window may be short
            _tell(self._pipe, "before", before.outcome)
            if self._thaw_by:
                self._release_after()
        elif self._thaw_by:
            self._thaw_there(self._instances)
        else:
            self._go_there()

    def _go_there(self) -> None:
        """Let the befores on instances go; where before failed, nothing more is frozen."""
        if self._instances is None:
            self._tell_before()
            return
        if self._outcome in FINE or self._instances.is_after_alone:
            self._instances.go()
        self._on_instances()

    def _on_instances(self) -> None:
        """Go on if the instances have answered what this step waits for."""
        is_before_over = self._before is None or self._before.ended
        if self._instances is None or self._opened is None or not is_before_over:
            return
        if not self._told_before and (self._thaw_by or self._instances.befores_are_known):
            _tell(self._pipe, "instances", self._instances.outcomes)
            self._tell_before()
        if self._thaw_by and self._instances.afters_are_known:
            self._release_after()

    def _tell_before(self) -> None:
        self._told_before = True
        _tell(self._pipe, "before", self._outcome)

    def _thaw(self, by: ThawBy) -> None:
        """Begin to thaw, once, after making sure that before is dead."""
        if self._thaw_by:
            return
        self._thaw_by = by
        self._writer.note("thaw", by=by)
        if self._before and not self._before.ended:
            self._before.end(Outcome.INTERRUPTED)
        elif self._instances is None:
            self._release_after()
        else:
            self._thaw_there(self._instances)

    def _thaw_there(self, instances: Instances) -> None:
        instances.thaw()
        self._on_instances()

    def _release_after(self) -> None:
        if self._is_after_ordered:
            return
        self._is_after_ordered = True
        if self._after is None:
            self._over = True
            return
        self._after = self._at_gate(self._after)
        outcome = self._before.outcome if self._before else self._record.before_outcome
        is_fine = outcome in FINE
        if self._instances is not None:
            is_fine = is_fine and self._instances.all_succeeded
        left = self._record.max_freeze_seconds - (linux.boottime() - (self._opened or 0.0))
        self._after.release("1" if is_fine else "0", left)

    def _at_gate(self, script: Script) -> Script:
        """Return the script, or a new one if it was killed while it waited at its gate."""
        if script.waits_at_gate:
            return script
        return self._fork(script.command.phase) or script

    def _on_after_end(self, _: Script) -> None:
        self._over = True
