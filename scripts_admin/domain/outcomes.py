"""How a phase can end. The words stand in rows, pages, tags and JSON."""

SUCCEEDED = "succeeded"
FAILED = "failed"  # an exit code other than 0, or a signal that we did not send
TIMED_OUT = "timed_out"
CRASHED = "crashed"  # could not be started
INTERRUPTED = "interrupted"  # started; its end is unknown, or it was ended with its run
AMBIGUOUS = "ambiguous"  # two files claim the phase; none is run
MISSING = "missing"  # no file; not a failure
NOT_RUN = "not_run"

OUTCOMES = (SUCCEEDED, FAILED, TIMED_OUT, CRASHED, INTERRUPTED, AMBIGUOUS, MISSING, NOT_RUN)
FINE = (SUCCEEDED, MISSING)
# A script that was cut short may have left something behind that freezes late.
ENDED_BY_ITSELF = (SUCCEEDED, FAILED, CRASHED, MISSING, AMBIGUOUS, NOT_RUN)
