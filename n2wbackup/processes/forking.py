"""The server's programs as forks of a process that has loaded them: nothing is imported twice, not even in memory.

A fork runs a second after the server began as it runs a month later: an upgrade that replaces files beside it takes
effect when the server is started again. What cannot be loaded or is not ours is executed as it always was.
"""

import gc
import logging
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from n2wbackup.processes import parents

__all__ = ["Words", "become", "load", "words"]

# What `python -m` is given for each program of the server, and what these import first or late: whatever one of them
# imports by itself is in memory once more, and comes from a disk that may be frozen.
_PROGRAMS = ("manage", "n2wbackup", "n2wbackup.processes.web")
_MODULES = (
    *("n2wbackup.wsgi", "n2wbackup.processes.connections", "django.templatetags.i18n"),
    *("n2wbackup.celery", "policies.tasks", "celery.apps.worker", "celery.worker.worker"),
    *("celery.worker.components", "celery.worker.consumer", "celery.worker.strategy"),
    *("celery.concurrency.thread", "celery.app.control", "celery.fixups.django"),
    *("celery.beat", "celery.apps.beat", "n2wbackup.processes.beat", "celery.backends.base"),
    *("celery.app.amqp", "celery.app.log", "celery.contrib.django.task", "celery.worker.autoscale"),
    *("celery.app.events", "celery.events.receiver", "celery.worker.consumer.delayed_delivery"),
    *("kombu.transport.redis", "django_structlog.tasks", "n2wbackup.processes.notify"),
    *("n2wbackup.command_line", "policies.management.commands.watchdog"),
)
_GUARDED = ("--pdeathsig", "TERM", "--")  # how the supervisor has each program started by setpriv


class Words(NamedTuple):
    """One of our programs: the module that `python -m` would run, and its arguments."""

    module: str
    arguments: Sequence[str]


def words(command: Sequence[str]) -> Words | None:
    """Return the program that the command would execute; None if it is not one of ours."""
    guarded, python, rest = tuple(command[1:4]), list(command[4:6]), list(command[6:])
    if guarded != _GUARDED or python != [sys.executable, "-m"] or rest[:1] == []:
        return None
    return Words(rest[0], rest[1:]) if rest[0] in _PROGRAMS else None


def load() -> str:
    """Load what the programs use, without a connection and without a thread; return what went wrong, or "".

    The supervisor has one thread, which writes its logs. Python's lock is held in the moment of a fork, so that thread
    holds no lock of the C library then. Of a library that somebody preloads, nobody knows that.
    """
    if os.environ.get("LD_PRELOAD"):
        return "LD_PRELOAD names libraries that may not be forked"
    try:
        for module in _MODULES:
            import_module(module)
        # Celery looks for tasks and makes them now, and not in each worker.
        app = import_module("n2wbackup.celery").app
        app.finalize()
        app.loader.init_worker()
    except Exception as error:  # noqa: BLE001 - whatever it is, the server must start
        return f"{type(error).__name__}: {error}"
    # A collection would write into each object, and so copy what the programs share.
    gc.collect()
    gc.freeze()
    return ""


def become(program: Words, environment: Mapping[str, str], parent: int) -> NoReturn:
    """Be the program, in this process that `parent` has just forked, until it ends; SIGTERM comes with its death."""
    code = 1
    try:
        if parents.end_with(parent, signal.SIGTERM):
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = [program.module, *program.arguments]
            # As `python -m` does it: guards are forked by a process that asks what `__main__` is.
            runpy.run_module(program.module, run_name="__main__", alter_sys=True)
            code = 0
    except SystemExit as leaving:
        code = _code(leaving)
    except BaseException:  # noqa: BLE001 - it is told, as Python itself would tell it
        traceback.print_exc()
    finally:
        # Not by Python's own end: the supervisor's frames are below us, and no thread must keep us.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    sys.stderr.write(f"{leaving.code}\n")
    return 1
