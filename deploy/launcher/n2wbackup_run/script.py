"""The process that becomes a script: it stands at a gate as root, and behind it becomes the account."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import pwd
import re
import resource
import signal
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from n2wbackup_run import accounts
from n2wbackup_run.accounts import RefusedError

MOST_BYTES = 64 * 1024 * 1024
AFTERS_PROCESSES = 32  # what before leaves behind cannot keep after from starting
NOT_STARTED = 127
ANSWER_SECONDS = 3.0  # a share that is silent for longer is taken for one that hangs
_VARIABLE = re.compile(r"N2W_[A-Z0-9_]+|PATH|LANG")
_WORD = re.compile(r"[A-Za-z0-9._-]{1,80}")
_LIMITS = {
    "memory": resource.RLIMIT_DATA,  # not RLIMIT_AS: many programs reserve far more than they use
    "files": resource.RLIMIT_NOFILE,
    "file_size": resource.RLIMIT_FSIZE,
}
_PR_SET_NO_NEW_PRIVS, _MFD_EXEC = 38, 0x10
_ALL_SEALS = 15
libc = ctypes.CDLL(None, use_errno=True)


class Script:
    """What a request says about a script, and the descriptors that came with it."""

    def __init__(self, request: Mapping[str, Any], descriptors: list[int]) -> None:
        """Refuse what is not allowed; nothing of it was opened or started yet."""
        self.account, self.entry = accounts.of(str(request["account"]), request["uid"])
        self.groups = accounts.groups_of(self.entry)
        self.phase, self.run = str(request["phase"]), str(request["run"])
        if not (_WORD.fullmatch(self.phase) and _WORD.fullmatch(self.run)):
            raise RefusedError("the request names no run")
        self.folder, self.path = str(request["folder"]), str(request["path"])
        self.environment = environment(request["environment"], self.entry)
        self.timeout = float(request["timeout"])
        self.ends_with_caller = bool(request["ends_with_caller"])
        has_file, has_copy = bool(request["has_file"]), bool(request["has_copy"])
        if len(descriptors) != 4 + has_file + has_copy:
            raise RefusedError("the request came without its files")
        self.gate, self.error, self.stdout, self.stderr, *files = descriptors
        self.file = files.pop(0) if has_file else -1
        self.copy = _sealed(files.pop(0)) if has_copy else -1

    def execute(self, order: Mapping[str, Any]) -> None:
        """Execute the file that was judged, under its path while the path names it; else the copy. OSError if none can.

        What was judged is what runs: a file that took its place meanwhile does not.
        """
        variables = {**self.environment, **environment(order["environment"], self.entry)}
        arguments = [word for word in order["arguments"] if word in ("0", "1")]
        problem: OSError | None = None
        for way in self._ways():
            try:
                self._tell(way)
                os.execve(way, [self.path, *arguments], variables)
            except OSError as error:  # noqa: PERF203 - there are three ways at most
                problem = problem or error
        raise problem or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def pass_by_what_hangs(self) -> None:
        """Leave only the copy where the share of the file hangs: nothing else would ever run it."""
        if self.file < 0 or self.copy < 0 or _answers(self.folder, self.path):
            return
        self.file, self.folder = -1, "/"

    def _tell(self, way: str | int) -> None:
        """Tell which file is executed, as the guard's own scripts do: a run shows the text that ran."""
        with contextlib.suppress(OSError):
            status = os.stat(way)  # noqa: PTH116 - as short as it gets
            words = (
                int(way == self.copy),
                status.st_dev,
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            )
            os.write(self.error, b"\0ran " + b" ".join(b"%d" % word for word in words) + b"\n")

    def _ways(self) -> Iterator[str | int]:
        if self.file >= 0:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(self.path), os.fstat(self.file)):  # noqa: PTH116 - as short as it gets
                    yield self.path
        for descriptor in (self.file, self.copy):
            if descriptor >= 0:
                os.set_inheritable(descriptor, True)  # noqa: FBT003 - an interpreter opens it once more
                yield descriptor


def environment(asked: Mapping[str, Any], entry: pwd.struct_passwd) -> dict[str, str]:
    """Return a script's environment: what was asked for, if the contract names it, and the account's own."""
    found = {name: value for name, value in asked.items() if name not in ("HOME", "USER")}
    for name, value in found.items():
        if not (_VARIABLE.fullmatch(name) and isinstance(value, str)):
            raise RefusedError(f"{name!r} is no variable of a script")
    return {**found, "HOME": entry.pw_dir, "USER": entry.pw_name}


def _ignore_nothing() -> None:
    """Let each signal do what it does by default: we ignore some, and so may whoever started us (`nohup`, `&`)."""
    for number in range(1, signal.NSIG):  # the set of all would touch, and so copy, much memory
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def stand(script: Script) -> NoReturn:
    """Wait at the gate, become the account, execute: the whole life of a forked process."""
    try:
        os.setsid()
        _close_all_but(script)
        _ignore_nothing()
        _rehearse(script)
        order = _wait_at(script.gate)
        if order is None:
            os._exit(0)
        _take_account(script)
        script.pass_by_what_hangs()
        with contextlib.suppress(OSError):  # the folder may be gone; the copy still runs
            os.chdir(script.folder)
        script.execute(order)
    except Exception as problem:  # noqa: BLE001 - whoever reads the output must learn it
        why = problem.strerror if isinstance(problem, OSError) else None
        line = f"{os.path.basename(script.path)} could not be started: {why or problem}\n"  # noqa: PTH119
        os.write(script.error, line.encode("utf-8", "replace"))
    finally:
        os._exit(NOT_STARTED)


def _answers(*paths: str) -> bool:
    """Tell whether the paths can be looked at, or fail, in time. A thread that hangs ends with the exec."""
    looking = _thread.allocate_lock()

    def look() -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                os.stat(path)  # noqa: PTH116 - as short as it gets
        looking.release()

    looking.acquire()
    try:
        _thread.start_new_thread(look, ())  # a fraction of the time and the memory of a Thread's
    except RuntimeError:  # the account may start no thread more
        return True
    return looking.acquire(timeout=ANSWER_SECONDS)


def _sealed(source: int) -> int:
    """Return a copy in memory that the account may run and nobody can change: the spool stays closed to it."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        target = os.memfd_create("n2wbackup", flags | _MFD_EXEC)
    except OSError:  # an older kernel does not know this flag
        target = os.memfd_create("n2wbackup", flags)
    if os.fstat(source).st_size > MOST_BYTES:
        raise RefusedError("the script is too large")
    while True:
        chunk = os.read(source, 1 << 20)
        if not chunk:
            break
        os.write(target, chunk)
    os.fchmod(target, 0o555)
    fcntl.fcntl(target, fcntl.F_ADD_SEALS, _ALL_SEALS)
    found = os.open(f"/proc/self/fd/{target}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(target)
    os.close(source)
    return found


def _close_all_but(script: Script) -> None:
    """Keep the streams, the gate and the files in the child; above all not the socket."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(script.stdout, 1)
    os.dup2(script.stderr, 2)
    last = 2
    for kept in sorted({script.gate, script.error, script.file, script.copy} - {-1}):
        os.closerange(last + 1, kept)
        last = kept
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))


def _rehearse(script: Script) -> None:
    """Go the way from the gate to the script once while nothing is frozen: the first steps are slow."""
    order = {"arguments": ["1"], "environment": {"N2W_PHASE": script.phase}}
    said = json.loads(json.dumps(order))
    variables = {**script.environment, **environment(said["environment"], script.entry)}
    script.pass_by_what_hangs()
    if script.file >= 0:
        with contextlib.suppress(OSError):
            os.stat(script.path)  # noqa: PTH116 - as the order does
    with contextlib.suppress(OSError):
        os.execve(os.devnull, ["1"], variables)


def _wait_at(gate: int) -> dict[str, Any] | None:
    """Return the order that opens the gate; None if the gate closes."""
    text = b""
    while not text.endswith(b"\n"):
        chunk = os.read(gate, 65536)
        if not chunk:
            return None
        text += chunk
    order: dict[str, Any] = json.loads(text)
    return order


def _take_account(script: Script) -> None:
    """Become the account, with its limits, and with no way to more rights unless sudo is granted to it."""
    for name, kind in _LIMITS.items():
        _lower(kind, script.account.limit(name))
    processes = script.account.limit("processes")
    more = AFTERS_PROCESSES if script.phase == "after" else 0
    _lower(resource.RLIMIT_NPROC, None if processes is None else processes + more)
    _lower(resource.RLIMIT_CORE, 0)
    os.umask(0o022)
    accounts.become(script.entry, script.groups)
    if not script.account.may_sudo and libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")


def _lower(kind: int, wanted: int | None) -> None:
    """Set a limit, never above what is allowed here."""
    hard = resource.getrlimit(kind)[1]
    if wanted is not None:
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))
