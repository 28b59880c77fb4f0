"""Hints to the workers: sent on commit, ids only. A hint may be lost or doubled; the row decides."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from uuid import UUID

from django.db import transaction

FREEZE = "policies.tasks.freeze"
COMPLETE = "policies.tasks.complete"
HOST_KEY = "policies.tasks.host_key"  # its id is a host's
TRIAL = "policies.tasks.trial"  # its id is a trial's
PROOF = "policies.tasks.proof"  # its id is a proof's
RECOVERY = "policies.tasks.recovery"  # its id is a recovery's

OPEN_SNAPSHOT = "policies.tasks.open_snapshot"  # its id is an opened snapshot's
BRING_FILES = "policies.tasks.bring_files"  # its id is a copy's

EVERY = frozenset({FREEZE, COMPLETE, HOST_KEY, TRIAL, OPEN_SNAPSHOT, BRING_FILES, PROOF, RECOVERY})
_silent: ContextVar[AbstractSet[str]] = ContextVar("silent", default=frozenset())


@contextmanager
def silenced(tasks: AbstractSet[str] = EVERY) -> Iterator[None]:
    """Send no hints for these tasks inside the block: the caller does their work itself."""
    token = _silent.set(_silent.get() | tasks)
    try:
        yield
    finally:
        _silent.reset(token)


def on_commit(task: str, run_id: UUID, server: str = "", *, more: Sequence[UUID] = ()) -> None:
    """Send the hint after the transaction has committed."""
    transaction.on_commit(partial(send, task, run_id, server, more=more))


def on_commit_all(task: str, run_ids: Sequence[UUID]) -> None:
    """Send a hint for each together, after the transaction has committed."""
    transaction.on_commit(partial(send_all, task, run_ids))


def send(task: str, run_id: UUID, server: str = "", *, more: Sequence[UUID] = ()) -> None:
    """Send the hint now: to the server that alone can use it, or to whichever takes it first.

    `more`: further runs of the same hint, for a task that takes many. No failure is raised, as a tick sends the
    hint again; by then its row has changed already.
    """
    if task not in _silent.get():
        from policies.adapters import queues  # noqa: PLC0415 - most commands send nothing

        queues.put(task, run_id, server, more=more)


def send_all(task: str, run_ids: Sequence[UUID]) -> None:
    """Send a hint for each now, in this order; as `send`."""
    if task not in _silent.get():
        from policies.adapters import queues  # noqa: PLC0415 - as above

        queues.put_all(task, run_ids)


def is_behind(task: str, server: str = "") -> bool:
    """Tell whether hints for such tasks wait in the broker: then the workers are busy, and no hint is lost."""
    from policies.adapters import queues  # noqa: PLC0415 - most commands do not ask

    return queues.holds(task, server)
