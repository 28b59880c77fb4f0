"""Asking what the script account may do, from a process that is not this account."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Protocol

from scripts_admin.guard import access, keeper, launching
from scripts_admin.guard.access import Answer, Question
from scripts_admin.guard.launching import LaunchError
from scripts_admin.guard.spool import RunAs

_AT_ONCE = 20  # questions in one message to the launcher
ANSWER_SECONDS = 20.0  # a share that hangs must not hold a run for ever


class AccountLostError(Exception):
    """Nobody could answer as the account: what may run is not known."""

    def __init__(self, name: str, advice: str = "start the run again") -> None:
        """`advice` says what to do, and why where that is known."""
        super().__init__(name)
        self.advice = advice


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


class Launched:
    """Another account, for a server that is not root: the launcher became it and answers."""

    def __init__(self, identity: RunAs) -> None:
        """Nothing is started yet."""
        self.name = identity.name
        self._identity = identity
        self._call: launching.Call | None = None

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Return the kernel's answers; AccountLostError, with the launcher's reason, if there are none in time."""
        try:
            if self._call is None:
                who = {"account": self.name, "uid": self._identity.uid}
                self._call = launching.Call({"do": "ask", **who})
                self._call.answer(ANSWER_SECONDS)
            found: list[Answer] = []
            for start in range(0, len(questions), _AT_ONCE):
                found += self._answers(self._call, questions[start : start + _AT_ONCE])
        except LaunchError as problem:
            raise AccountLostError(self.name, str(problem)) from problem
        return found

    @staticmethod
    def _answers(call: launching.Call, questions: Sequence[Question]) -> list[Answer]:
        call.say({"questions": [(os.fsdecode(path), right.value) for path, right in questions]})
        said = call.answer(ANSWER_SECONDS)["answers"]
        return [Answer(error, os.fsencode(closed), noexec) for error, closed, noexec in said]

    def close(self) -> None:
        """End the launcher."""
        if self._call is not None:
            self._call.close()


@contextmanager
def of(identity: RunAs | None) -> Iterator[Account]:
    """Give the account to ask: `identity`, or this process's own for None."""
    if identity is None:
        yield Own()
        return
    other = Launched(identity) if launching.is_needed(identity) else Other(identity)
    try:
        yield other
    finally:
        other.close()
