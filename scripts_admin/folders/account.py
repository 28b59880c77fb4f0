"""Asking what the script account may do, from a process that is not this account."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Protocol

from scripts_admin.guard import access, keeper
from scripts_admin.guard.access import Answer, Question
from scripts_admin.guard.spool import RunAs

ANSWER_SECONDS = 20.0  # a share that hangs must not hold a run for ever


class AccountLostError(Exception):
    """Nobody could answer as the account: what may run is not known."""


class Account(Protocol):
    """The account that a script runs as."""

    name: str

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Return an answer for each question; AccountLostError if nobody could answer."""
        ...


class Own:
    """The account of this very process."""

    name = "the server's account"

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        return [access.answer(path, right) for path, right in questions]


class Other:
    """Another account; a process that became it answers. It is started with the first question."""

    def __init__(self, identity: RunAs) -> None:
        """Nothing is started yet."""
        self.name = identity.name
        self._identity = identity
        self._pipe: Connection | None = None

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Return the kernel's answers; AccountLostError if the process is lost or does not answer in time."""
        try:
            if self._pipe is None:
                self._pipe = keeper.start(access.serve, self._identity)
            self._pipe.send(list(questions))
            if self._pipe.poll(ANSWER_SECONDS):
                found: list[Answer] = self._pipe.recv()
                return found
        except (EOFError, OSError) as problem:
            raise AccountLostError(self.name) from problem
        raise AccountLostError(self.name)

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()


@contextmanager
def of(identity: RunAs | None) -> Iterator[Account]:
    """Give the account to ask: `identity`, or this process's own for None."""
    if identity is None:
        yield Own()
        return
    other = Other(identity)
    try:
        yield other
    finally:
        other.close()
