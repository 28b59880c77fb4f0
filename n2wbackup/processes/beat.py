"""Celery beat, on a machine whose clock may be put back."""

import logging
from datetime import timedelta
from typing import Any

from celery import beat

__all__ = ["Scheduler"]

log = logging.getLogger(__name__)
# Beat and its tick differ by less; a clock that is slewed never goes back at all.
LEEWAY = timedelta(seconds=2)


class Scheduler(beat.Scheduler):
    """Celery's, kept in memory; it goes on at once when the clock is put back.

    Celery's own plans by the wall clock: put back by an hour, it would send nothing for an hour.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401 - whatever Celery passes
        """Send at most one entry that is due; return the seconds until there may be another."""
        if any(map(_is_ahead, self.schedule.values())):
            self._start_over()
        return super().tick(*args, **kwargs)

    def _start_over(self) -> None:
        """Plan each entry as if it had been sent now."""
        log.warning("the clock was put back: beat starts over")
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()
        self.populate_heap()


def _is_ahead(entry: beat.ScheduleEntry) -> bool:
    """Tell whether the entry was sent later than now, by the clock of now."""
    return entry.last_run_at is not None and entry.last_run_at > entry.default_now() + LEEWAY
