"""The words for a window: its phases, how each can end, and who began the thaw.

Rows, pages, tags and JSON use these words.
"""

from enum import StrEnum


class Phase(StrEnum):
    """The phases that have a script, in the order of a run."""

    BEFORE = "before"
    AFTER = "after"
    COMPLETE = "complete"


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # exit code other than 0, or killed by a signal that we did not send
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"  # could not be started
    INTERRUPTED = "interrupted"  # started; its end is unknown, or it was stopped with its run
    AMBIGUOUS = "ambiguous"  # two files fit the phase; neither is run
    MISSING = "missing"  # no file; this is no failure
    NOT_RUN = "not_run"

    @classmethod
    def of(cls, word: str) -> "Outcome":
        """Return the outcome with this name; INTERRUPTED for a word that only another version knows."""
        try:
            return cls(word)
        except ValueError:
            return cls.INTERRUPTED


FINE = frozenset({Outcome.SUCCEEDED, Outcome.MISSING})
# A script that did not end by itself may have left a process behind that freezes later.
ENDED_BY_ITSELF = frozenset(Outcome) - {Outcome.TIMED_OUT, Outcome.INTERRUPTED}


class ThawBy(StrEnum):
    """Who began the thaw; every thaw but the worker's is automatic."""

    WORKER = "worker"
    DEADLINE = "deadline"
    LOST = "lost"  # the guard or the watchdog, because the process that kept the window was lost
    INSTANCE = "instance"  # an instance by itself: see ThawnBy in remote.py

    @classmethod
    def of(cls, word: str) -> "ThawBy":
        """Return who this word names; LOST, an automatic thaw, for a word that only another version knows."""
        try:
            return cls(word)
        except ValueError:
            return cls.LOST
