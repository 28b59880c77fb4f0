"""The words of a window: its phases, how each can end, and who began the thaw. Rows, pages, tags and JSON use them."""

from enum import StrEnum


class Phase(StrEnum):
    """A script's place in a run, in the order of a run."""

    BEFORE = "before"
    AFTER = "after"
    COMPLETE = "complete"


class Outcome(StrEnum):
    """How a phase ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # an exit code other than 0, or a signal that we did not send
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"  # could not be started
    INTERRUPTED = "interrupted"  # started; its end is unknown, or it was ended with its run
    AMBIGUOUS = "ambiguous"  # two files claim the phase; none is run
    MISSING = "missing"  # no file; not a failure
    NOT_RUN = "not_run"

    @classmethod
    def of(cls, word: str) -> "Outcome":
        """Return the outcome of this name; INTERRUPTED for a word that only another version knows."""
        try:
            return cls(word)
        except ValueError:
            return cls.INTERRUPTED


FINE = frozenset({Outcome.SUCCEEDED, Outcome.MISSING})
# A script that was cut short may have left something behind that freezes late.
ENDED_BY_ITSELF = frozenset(Outcome) - {Outcome.TIMED_OUT, Outcome.INTERRUPTED}


class ThawBy(StrEnum):
    """Who began the thaw; only the worker's own is no automatic one."""

    WORKER = "worker"
    DEADLINE = "deadline"
    LOST = "lost"  # the guard or the watchdog, as the process that kept the window was lost
