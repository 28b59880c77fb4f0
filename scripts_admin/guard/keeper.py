"""The worker's side of a guard: start one, talk to it, and notice when it is gone.

Multiprocessing's forkserver forks guards from a parent that has only the guard preloaded. So each costs a few
milliseconds and megabytes, has no Django in it, and copies no thread of the worker that may hold a lock.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from scripts_admin.guard import access, guard, linux
from scripts_admin.guard.instances import Carried
from scripts_admin.guard.spool import RunAs

START_SECONDS = 30.0
_PROJECT = Path(guard.__file__).resolve().parents[2]
# Otherwise each process that multiprocessing starts would import this itself.
_STARTED_WITH = ["multiprocessing.popen_forkserver"]
_context = multiprocessing.get_context("forkserver")
_starting = threading.Lock()


class GuardLostError(Exception):
    """The guard is gone, or did not answer: the process that gets the run's lock has to thaw."""


class RefusedError(GuardLostError):
    """The guard cannot have the scripts started, and says why; nothing is frozen."""


def warm() -> None:
    """Start the forkserver with the guard preloaded; costs nothing if it already runs."""
    with _starting:
        _context.set_forkserver_preload([guard.__name__, access.__name__, *_STARTED_WITH])
        inherited = os.environ.get("PYTHONPATH")
        # The forkserver does not get our sys.path, and ignores the ImportError of a failed preload.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(_PROJECT), *filter(None, [inherited])])
        try:
            forkserver.ensure_running()
        finally:
            if inherited is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = inherited


def start(target: Callable[[Connection, RunAs], None], identity: RunAs) -> Connection:
    """Fork a process beside the guards that runs `target`, and return our end of its pipe. It ends with the pipe."""
    warm()
    ours, theirs = _context.Pipe()
    with theirs:
        _context.Process(target=target, args=(theirs, identity), daemon=True).start()
    return ours


class Guard:
    """A started guard. Every method that waits has a limit and raises GuardLostError past it."""

    def __init__(
        self,
        spool_folder: Path,
        runtime_folder: Path,
        lock: int,
        secrets: Sequence[bytes] = (),
        single: tuple[Phase, str, int] | None = None,
        *,
        as_itself: bool = False,
        carriers: Sequence[Carried] = (),
    ) -> None:
        """Start a guard and give it the run's lock and the carriers; this process no longer holds them on return.

        `single`: phase, argument and attempt of one script to run outside a window. `as_itself`: the scripts may
        run as the server's own account even if that is root.
        """
        self.has_instances = bool(carriers)
        self.instances: dict[str, Outcome] = {}  # each one's before, once `before` has returned
        try:
            warm()
            self._pipe, theirs = _context.Pipe()
            worker = linux.identify(os.getpid())
            orders = guard.Orders(
                spool_folder,
                runtime_folder,
                guard.Lock(lock),
                worker,
                tuple(secrets),
                as_itself,
                tuple(carriers),
            )
            target = guard.run_single if single else guard.keep_window
            self._process = _context.Process(target=target, args=(theirs, orders, *(single or ())))
            with theirs:
                self._process.start()
        finally:
            # Also after an error: while a process without a guard holds the lock, nobody thaws.
            os.close(lock)
            for each in carriers:
                each.socket.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def fileno(self) -> int:
        """Return what becomes readable when the guard has something to tell, or is gone."""
        return self._pipe.fileno()

    def wait_until_ready(self) -> bool:
        """Return once both scripts wait at their gates; True if the preload worked."""
        return bool(self._hear("ready", START_SECONDS))

    def wake(self) -> None:
        """Continue the guard if somebody has stopped it (SIGSTOP, a debugger)."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def go(self) -> None:
        """Open the window: before starts."""
        self._say("go")

    def before(self, within_seconds: float) -> Outcome:
        """Return before's outcome as soon as it, and every before on an instance, has ended."""
        return Outcome.of(str(self._hear("before", within_seconds)))

    def thaw(self, within_seconds: float) -> ThawBy:
        """Ask for after; return who began the thaw: the worker, if this call did."""
        self._say("thaw")
        return ThawBy(str(self._hear("thawing", within_seconds)))

    def wait_until_over(self, within_seconds: float) -> None:
        """Return once after has ended and the outputs are in the journal."""
        self._hear("over", within_seconds)

    def wait_until_done(self, within_seconds: float) -> None:
        """Return once the single script has ended."""
        self._hear("done", within_seconds)

    def is_done(self) -> bool:
        """Tell, without waiting, whether the guard of a single script is finished or gone."""
        return self._process.exitcode is not None

    def release(self) -> None:
        """Close the pipe. In an open window the guard then thaws by itself. A second call does nothing."""
        self._pipe.close()
        self._process.join(0)

    def _say(self, word: str) -> None:
        try:
            self._pipe.send(word)
        except OSError as problem:
            raise GuardLostError(word) from problem

    def _hear(self, wanted: str, within_seconds: float) -> object:
        """Return the value that comes with `wanted`; earlier messages are skipped."""
        until = linux.boottime() + within_seconds
        with suppress(EOFError, OSError):
            while self._pipe.poll(max(0.0, until - linux.boottime())):
                what, value = self._pipe.recv()
                if what == wanted:
                    return value
                if what == "instances":
                    self.instances = {name: Outcome.of(word) for name, word in value.items()}
                if what == "refused":
                    raise RefusedError(value)
        raise GuardLostError(wanted)
