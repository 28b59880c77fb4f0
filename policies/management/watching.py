"""Watching a run from the command line: what happens is said as it happens, and Ctrl-C is calm."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from n2wbackup.lib import clock, home
from n2wbackup.processes import serve_lock
from policies.api import as_json
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.management import output
from policies.models import Run, RunEvent, RunSnapshot

Say = Callable[[str], None]
POLL_SECONDS = 0.2
_UNCLAIMED_SECONDS = 5  # a worker claims a run within one


def follow(run: Run, say: Say) -> None:
    """Say each event of the run and how far its snapshots are, until the run has ended."""
    last, progress, began, told = 0, "", clock.boottime(), False
    while True:
        run.refresh_from_db()  # before its events: the last one is said, too
        last = _say_events(run, last, say)
        if run.state in sequence.ENDS:
            return
        shown = _progress(run)
        if shown != progress:
            progress = shown
            say(shown)
        waited = clock.boottime() - began
        if not told and run.state == State.QUEUED and waited > _UNCLAIMED_SECONDS:
            told = _say_no_server(say)
        time.sleep(POLL_SECONDS)


def _say_events(run: Run, last: int, say: Say) -> int:
    for event in RunEvent.objects.filter(run=run, pk__gt=last).order_by("pk"):
        say(
            output.event({"at": as_json.moment(event.at), "state": event.state, "text": event.text})
        )
        last = event.pk
    return last


def _progress(run: Run) -> str:
    if run.state != State.WAITING:
        return ""
    rows = RunSnapshot.objects.filter(target__run=run).values_list("state", "progress")
    whole = sum(1 for state, _ in rows if state == RunSnapshot.State.COMPLETED)
    percent = sum(progress for _, progress in rows) // max(1, len(rows))
    return f"  {whole} of {len(rows)} snapshots are completed, {percent} % in all"


def _say_no_server(say: Say) -> bool:
    if not serve_lock.held(home.serve_lock()):
        say(
            f"  No server runs on {home.serve_lock().parent}: start it with `manage.py serve`, "
            "or stop this with Ctrl-C and use --here."
        )
    return True


class Stopping:
    """Whether the person at the keyboard pressed Ctrl-C."""

    def __init__(self, say: Say) -> None:
        """Nobody has pressed it yet."""
        self._say, self._pressed = say, False

    def pressed(self) -> bool:
        """Tell whether Ctrl-C was pressed."""
        return self._pressed

    def press(self, _number: int, _frame: FrameType | None) -> None:
        """Note the first Ctrl-C; the second one leaves at once."""
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        self._say(
            "Stopping: what is frozen is thawed first, then the run is cancelled. "
            "Ctrl-C again leaves at once; the guard of the run then thaws."
        )


@contextmanager
def stopping(say: Say) -> Iterator[Stopping]:
    """Within the block, the first Ctrl-C is a wish and not an exception: a run in this process ends in order."""
    noted = Stopping(say)
    try:
        before = signal.signal(signal.SIGINT, noted.press)
    except ValueError:  # not the main thread, which alone gets signals
        yield noted
        return
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
