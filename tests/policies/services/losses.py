"""Workers and guards that die at a chosen line."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest

from n2wbackup.lib import home
from policies.models import Run
from policies.services.watch import abandoned
from scripts_admin.guard import spool
from scripts_admin.guard.keeper import Guard
from tests.scripts_admin.guard.stage import until


class DiedError(BaseException):
    """The worker is gone at this very line; nothing of it runs any more."""


def die(*_: object, **__: object) -> NoReturn:
    raise DiedError


def leave_and_die(guard: Guard) -> NoReturn:
    """Die, and have the kernel close the pipe, as it does for a process."""
    guard.release()
    raise DiedError


def stop_guard_and_die(guard: Guard, *_: object) -> NoReturn:
    """Die after somebody has stopped the guard: it cannot see that."""
    os.kill(guard.pid, signal.SIGSTOP)
    leave_and_die(guard)


def drop_lock_and_die(
    _folder: Path, _runtime: Path, lock: int, *_: object, **__: object
) -> NoReturn:
    """Die, and have the kernel close the lock, as it does for a process."""
    os.close(lock)
    raise DiedError


@contextmanager
def dying(run: Run) -> Iterator[pytest.MonkeyPatch]:
    """Expect the worker to die in this block; what it patched is whole again afterwards."""
    with pytest.MonkeyPatch.context() as patch, suppress(DiedError):
        yield patch
        pytest.fail("the worker lives")
    until(lambda: not spool.is_held(home.spool() / str(run.pk)))


def recover(run: Run) -> Run:
    abandoned.enter_all()
    run.refresh_from_db()
    return run


def kill_guard_and_die(guard: Guard, *_: object) -> NoReturn:
    os.kill(guard.pid, signal.SIGKILL)
    raise DiedError
