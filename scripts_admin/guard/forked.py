"""A script's process as a fork of the guard: it stands at a gate, and becomes the script when the gate opens."""

import _thread
import errno
import json
import os
import selectors
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypedDict

from n2wbackup.lib import trust
from n2wbackup.lib.trust import UntrustedError
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import linux, mark
from scripts_admin.guard.spool import NO_ACCOUNT, Record, RunAs, ScriptCommand

READ_BYTES = 65536
_NOT_STARTED = 127
_ANSWER_SECONDS = 3.0  # a share that is silent for longer is taken for one that hangs
NO_ACCOUNT_ERROR = UntrustedError(
    "its record names no account, and scripts run as root only with N2W_RUN_SCRIPTS_AS=self",
    "thaw by hand and confirm it",
)


class Order(TypedDict):
    """What a script gets only when its gate opens."""

    arguments: list[str]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of pipes that a script's process gets: why it could not start, its output, its errors."""

    error: int
    stdout: int
    stderr: int

    def close(self) -> None:
        """Close our copies of them."""
        for descriptor in (self.error, self.stdout, self.stderr):
            os.close(descriptor)


class Forked:
    """The process. All methods return at once."""

    kill_grace = 2.0  # a killed process may be blocked in a write to the frozen disk: go on without waiting longer
    refusal = ""
    stands = True
    launched = False

    def __init__(
        self,
        record: Record,
        command: ScriptCommand,
        ends: Ends,
        selector: selectors.BaseSelector,
        on_exit: Callable[[int | None], None],
    ) -> None:
        """Fork it; `on_exit` gets its exit code."""
        self._selector, self._on_exit = selector, on_exit
        gate_read, self._gate = os.pipe()
        pid = os.fork()
        if not pid:
            _become_script(record, command, gate_read, ends)
        os.close(gate_read)
        self.process = linux.identify(pid)
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, self._exited)

    def let_go(self, order: Order) -> None:
        """Open the gate."""
        with suppress(BrokenPipeError):  # it died at the gate; its exit code says so
            os.write(self._gate, json.dumps(order).encode() + b"\n")
        linux.signal_group(self.process, signal.SIGCONT)  # somebody may have stopped it at its gate

    def abandon(self) -> None:
        """Close the gate: the process exits by itself."""
        os.close(self._gate)

    def terminate(self) -> None:
        linux.signal_group(self.process, signal.SIGTERM)

    def kill(self) -> None:
        linux.signal_group(self.process, signal.SIGKILL)

    def is_gone(self) -> bool:
        """Tell whether nothing of its group lives."""
        return linux.group_is_gone(self.process)

    def tick(self, now: float) -> None:
        """Nothing is due: the kernel tells of every end."""

    def _exited(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(self.process.pid, 0)
        self._on_exit(os.waitstatus_to_exitcode(status))


def why(command: ScriptCommand, problem: Exception) -> bytes:
    """Return the line that says why a script could not be started."""
    words = problem.strerror if isinstance(problem, OSError) else None
    said = str(problem) if isinstance(problem, UntrustedError) else words or str(problem)
    return f"{command.name} could not be started: {said}\n".encode("utf-8", "replace")


def _ignore_nothing() -> None:
    """Let each signal do what it does by default: we ignore some, and so may whoever started us (`nohup`, `&`)."""
    for number in range(1, signal.NSIG):  # the set of all would touch, and so copy, much memory
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _become_script(record: Record, command: ScriptCommand, gate: int, ends: Ends) -> NoReturn:
    """Turn this forked child into the script when the gate opens. Never returns."""
    try:
        os.setsid()
        _keep_only(gate, ends)
        _ignore_nothing()
        if command.phase != Phase.COMPLETE:  # nothing is frozen then, and its gate opens at once
            _rehearse(record, command)
        order = _wait_at(gate)
        if order is None:
            os._exit(0)
        _run(record, command, order, ends.error)
    except Exception as problem:  # noqa: BLE001 - such as a NUL in an argument; whoever reads the output must learn it
        os.write(ends.error, why(command, problem))
    finally:
        os._exit(_NOT_STARTED)


def _keep_only(gate: int, ends: Ends) -> None:
    """Close all but the standard streams, the gate and the error pipe in the child; above all the run's lock."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(ends.stdout, 1)
    os.dup2(ends.stderr, 2)
    close_all_but(gate, ends.error)


def close_all_but(*kept: int) -> None:
    """Close every descriptor but these and the standard streams."""
    last = 2
    for descriptor in sorted(kept):
        os.closerange(last + 1, descriptor)
        last = descriptor
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))


def _rehearse(record: Record, command: ScriptCommand) -> None:
    """Run the code from the gate to the script once, up to an exec that fails, while nothing is frozen.

    A forked child copies each page of memory at its first write. This must not cost time while the application
    is frozen. The way to a copy in the spool, which is seldom gone, is left out: each page costs memory in each window.
    """
    order: Order = {"arguments": ["1"], "environment": {"N2W_PHASE": command.phase}}
    with suppress(OSError):
        _execute(os.devnull, record, json.loads(json.dumps(order)))
    number, path = usable(record, command)[0]
    with suppress(OSError):
        _check(path, record, number)
        mark.line(number, path)


def _wait_at(gate: int) -> Order | None:
    text = b""
    while not text.endswith(b"\n"):
        chunk = os.read(gate, READ_BYTES)
        if not chunk:
            return None
        text += chunk
    order: Order = json.loads(text)
    return order


def _run(record: Record, command: ScriptCommand, order: Order, told: int) -> None:
    """Execute the first path that can be executed, and tell which; if none can, raise the OSError of the first."""
    if record.identity is not None:
        become(record.identity)
    paths = usable(record, command)
    if paths[0][0] == 0:
        with suppress(OSError):  # the folder may be gone; the copy in the spool still runs
            os.chdir(record.folder)
    problem: OSError | None = None
    for number, path in paths:
        try:
            _check(path, record, number)
            os.write(told, mark.line(number, path))
            _execute(path, record, order)
        except OSError as raised:
            problem = problem or raised
    raise problem or FileNotFoundError


def usable(record: Record, command: ScriptCommand) -> list[tuple[int, str]]:
    """Return the paths with their numbers; without the first one where its share hangs and there is a copy.

    Nothing else would ever run the copy: whoever touches the folder then waits for ever.
    """
    paths = list(enumerate(command.paths))
    return paths if len(paths) == 1 or _answers(record.folder, command.paths[0]) else paths[1:]


def _answers(*paths: str) -> bool:
    """Tell whether the paths can be looked at, or fail, in time. A thread that hangs ends with the exec."""
    looking = _thread.allocate_lock()

    def look() -> None:
        for path in paths:
            with suppress(OSError):
                os.stat(path)  # noqa: PTH116 - as short as it gets
        looking.release()

    looking.acquire()
    try:
        _thread.start_new_thread(look, ())  # a fraction of the time and the memory of a Thread's
    except RuntimeError:  # the account may start no thread more
        return True
    return looking.acquire(timeout=_ANSWER_SECONDS)


def _execute(path: str, record: Record, order: Order) -> NoReturn:
    environment = dict(record.environment) | order["environment"]
    os.execve(path, [path, *order["arguments"]], environment)


def _check(path: str, record: Record, number: int) -> None:
    if number == 0:
        check_inside(path, record.folder)
    else:
        _check_copy(path)


def become(identity: RunAs) -> None:
    """Turn this process into the account, for good."""
    if identity == NO_ACCOUNT:
        raise NO_ACCOUNT_ERROR
    os.setgroups(identity.groups)
    os.setgid(identity.gid)
    os.setuid(identity.uid)


def check_inside(path: str, folder: str) -> None:
    """Refuse a file that was replaced by a link out of its folder after it was checked."""
    inside = _real(folder)
    if os.path.commonpath([_real(path), inside]) != inside:
        raise PermissionError(errno.EACCES, "it is a link that leads out of its folder")


def _real(path: str) -> str:
    """Return where a path leads, as the kernel finds it: with a fraction of the calls that realpath makes."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return os.readlink(f"/proc/self/fd/{found}")  # noqa: PTH115 - as short as it gets
    finally:
        os.close(found)


def _check_copy(path: str) -> None:
    """Refuse a copy that anybody but the server can have changed.

    This process is the script's account by now: a former release gave the copies to it, in a folder of the server's.
    """
    os.close(open_copy(path))


def open_copy(path: str) -> int:
    """Return a look at a copy that nobody but the server can have changed; UntrustedError for any other."""
    place = Path(path)
    try:
        with trust.folder(place.parent) as within, trust.file(place, within=within) as found:
            return os.dup(found)
    except UntrustedError:
        raise UntrustedError(
            f"another account may have changed its copy {path}", "thaw by hand and confirm it"
        ) from None
