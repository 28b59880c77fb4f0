"""All processes of the server under one supervisor, which restarts at once each one that dies."""

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from django.conf import settings

from n2wbackup.lib import home
from n2wbackup.processes import serve_lock, valkey

# Supervisor stops the highest number first, and programs with the same number together. The programs that
# send work and do it stop first, so that no new window is opened. The watchdog stays until their windows
# are closed. The programs that all others need stop last.
_LAST_TO_STOP = 100
_NEEDED = 150
_WATCHDOG = 200
_WORK = 300

_LONGEST_FREEZE_SECONDS = (
    900  # the longest freeze that can be configured, and time for a slow after
)
_LOG_BYTES = 10_000_000
_LOG_BACKUPS = 5
_ENDLESS = 1_000_000_000

# Programs that a service manager may run one by one. The watchdog has its own command, which checks
# nothing first.
SINGLE = ("web", "beat", "freeze", "tick", "work", "valkey")


class CannotServeError(Exception):
    """The server cannot be started; the text says why and what to do."""


@dataclass(frozen=True)
class Program:
    """One program to keep running. `stop_seconds`: the time it gets between SIGTERM and KILL.

    A higher `priority` is started later and stopped earlier.
    """

    name: str
    command: Sequence[str]
    stop_seconds: int = 10
    priority: int = _NEEDED


def run(
    extra_programs: Sequence[Program] = (),
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Become the supervisor: this process serves until SIGTERM, then drains and exits with 0.

    `environment` is added for every program. `before` is called last, when nothing can refuse any more. On
    CannotServeError nothing was started.
    """
    lock = _lock()
    try:
        command = _command(lock, extra_programs)
        before()
        os.set_inheritable(lock, True)  # noqa: FBT003 - Python's own signature
        os.chdir(settings.BASE_DIR)
        os.execve(command[0], command, _environment(environment))
    except BaseException:
        os.close(lock)
        raise


def start(
    extra_programs: Sequence[Program] = (),
    environment: Mapping[str, str] | None = None,
    output: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start the supervisor as a child, which gets SIGTERM when this process dies; otherwise as `run`.

    Its output goes to the descriptor `output` (None: where ours goes).
    """
    lock = _lock()
    try:
        return subprocess.Popen(
            [_setpriv(), "--pdeathsig", "TERM", "--", *_command(lock, extra_programs)],
            cwd=settings.BASE_DIR,
            env=_environment(environment),
            pass_fds=[lock],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    finally:
        # The child has its own copy by now: the lock ends with the child, not with us.
        os.close(lock)


def become(name: str) -> NoReturn:
    """Become one program of `SINGLE`; the service manager that started this process has to restart it.

    On CannotServeError nothing was started.
    """
    lock = _lock(serve_lock.share)
    try:
        command = [*_single(name).command]
        os.set_inheritable(lock, True)  # noqa: FBT003 - Python's own signature
        os.chdir(settings.BASE_DIR)
        os.execve(command[0], command, _environment(None))
    except BaseException:
        os.close(lock)
        raise


def _single(name: str) -> Program:
    if name == "valkey" and settings.N2W_REDIS_URL:
        raise CannotServeError(
            "REDIS_URL names a broker, so none is started here: unset REDIS_URL, or do not start valkey."
        )
    if name == "web":
        _refuse_taken_port()
    known = [_broker()] if name == "valkey" else _programs()
    return next(program for program in known if program.name == name)


def programs() -> list[Program]:
    """Return the server's own programs; with Valkey if `REDIS_URL` names no broker."""
    return [*_programs(), *([] if settings.N2W_REDIS_URL else [_broker()])]


def _broker() -> Program:
    return Program("valkey", valkey.command(valkey.write_settings()), 10, _LAST_TO_STOP)


def _programs() -> list[Program]:
    manage = [sys.executable, "-m", "manage"]
    web = [sys.executable, "-m", "n2wbackup.processes.web"]
    celery = [sys.executable, "-m", "n2wbackup"]
    return [
        Program("watchdog", [*manage, "watchdog"], _LONGEST_FREEZE_SECONDS, _WATCHDOG),
        Program("web", web, 30, _WORK),
        Program("beat", [*celery, "beat"], 10, _WORK),
        # Longer than the longest freeze: a window that is open when we are stopped ends by itself.
        Program("freeze", [*celery, "worker", "freeze", "16"], _LONGEST_FREEZE_SECONDS + 30, _WORK),
        Program("tick", [*celery, "worker", "tick", "1"], 30, _WORK),
        Program("work", [*celery, "worker", "work", "8"], _LONGEST_FREEZE_SECONDS, _WORK),
    ]


def conf(all_programs: Sequence[Program]) -> str:
    """Return supervisor's settings file for these programs. Only signals control it: it has no port and no socket."""
    setpriv = _setpriv()
    sections = [_daemon()]
    for program in all_programs:
        guarded = [setpriv, "--pdeathsig", "TERM", "--", *program.command]
        sections.append(_program(program, shlex.join(guarded)))
    for priority in sorted({program.priority for program in all_programs}):
        names = [program.name for program in all_programs if program.priority == priority]
        sections.append(
            f"[group:stage{priority}]\nprograms={','.join(names)}\npriority={priority}\n"
        )
    return "\n".join(sections)


def _daemon() -> str:
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "nocleanup=true",
        f"logfile={_escaped(home.logs() / 'supervisor.log')}",
        f"logfile_maxbytes={_LOG_BYTES}",
        f"logfile_backups={_LOG_BACKUPS}",
        f"pidfile={_escaped(home.run() / 'supervisor.pid')}",
        f"childlogdir={_escaped(home.logs())}",
        f"directory={_escaped(settings.BASE_DIR)}",
    ]
    if os.geteuid() == 0:
        # Without this line supervisor warns at each start. Root is intended: we were started as root.
        lines.append(f"user={pwd.getpwuid(0).pw_name}")
    return "\n".join(lines) + "\n"


def _program(program: Program, command: str) -> str:
    lines = [
        f"[program:{program.name}]",
        f"command={_escaped(command)}",
        f"directory={_escaped(settings.BASE_DIR)}",
        "autostart=true",
        "autorestart=true",
        "startsecs=1",
        f"startretries={_ENDLESS}",
        "stopsignal=TERM",
        # The guards of open windows are in the group of their worker, and outlive it.
        "stopasgroup=false",
        "killasgroup=false",
        f"stopwaitsecs={program.stop_seconds}",
        "redirect_stderr=true",
        f"stdout_logfile={_log_file(f'{program.name}.log')}",
        f"stdout_logfile_maxbytes={_LOG_BYTES}",
        f"stdout_logfile_backups={_LOG_BACKUPS}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str | Path) -> str:
    """Return a value for supervisor's file, in which `%` is expanded and ` ;` begins a comment."""
    value = str(text)
    if "\n" in value or " ;" in value:
        raise CannotServeError(
            f"{value!r} cannot be written to the supervisor's settings: remove the line break or ' ;'."
        )
    return value.replace("%", "%%")


def _log_file(name: str) -> str:
    # Escaped twice: supervisor expands the path of a program's log twice.
    return _escaped(_escaped(home.logs() / name))


def _lock(take: Callable[[Path], int | None] = serve_lock.acquire) -> int:
    lock = take(home.serve_lock())
    if lock is not None:
        return lock
    if serve_lock.shared(home.serve_lock()):
        raise CannotServeError(
            f"The programs of a server run one by one on {settings.N2W_HOME}: stop them where they "
            "were started (`systemctl stop n2wbackup.target`), or set another N2W_HOME."
        )
    raise CannotServeError(
        f"A server already runs on {settings.N2W_HOME}: stop it with `manage.py drain`, "
        "or set another N2W_HOME."
    )


def _command(lock: int, extra_programs: Sequence[Program]) -> list[str]:
    _refuse_taken_port()
    text = conf([*programs(), *extra_programs])
    # The file appears only with its whole content.
    descriptor, temporary = tempfile.mkstemp(dir=home.run())
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    path = Path(temporary).replace(home.run() / "supervisor.conf")
    notify = home.runtime() / "notify"
    supervise = [sys.executable, "-m", "n2wbackup.processes.supervise"]
    return [*supervise, str(lock), str(path), str(notify)]


def _refuse_taken_port() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.N2W_PORT))
        except OSError as error:
            raise CannotServeError(
                f"Port {settings.N2W_PORT} cannot be used ({error.strerror}): "
                "stop the program that listens there, or set N2W_PORT."
            ) from error


def _setpriv() -> str:
    found = shutil.which("setpriv")
    if found is None:
        raise CannotServeError("The program setpriv is missing: install the package util-linux.")
    return found


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "n2wbackup.settings"),
        "N2W_HOME": str(settings.N2W_HOME),
        # Writing a .pyc to a frozen disk would block the process that has to thaw it.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # `serve` itself has made our checks: otherwise each worker would load all pages to make Django's.
        "CELERY_SKIP_CHECKS": "1",
        **(extra or {}),
    }
