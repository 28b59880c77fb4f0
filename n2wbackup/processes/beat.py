"""Celery beat, on a machine whose clock may be set back."""

import logging
from datetime import timedelta
from typing import Any

from celery import beat

__all__ = ["Scheduler"]

log = logging.getLogger(__name__)
# The times of beat and its tick differ by less; a clock that is slewed never goes back.
LEEWAY = timedelta(seconds=2)


class Scheduler(beat.Scheduler):
    """Celery's scheduler, kept in memory; it goes on at once if the clock is set back.

    Celery's own scheduler uses the wall clock: if that is set back by an hour, it sends nothing for an hour.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401 - whatever Celery passes
        """Send at most one entry that is due; return the seconds until the next may be due."""
        if any(map(_is_ahead, self.schedule.values())):
            self._start_over()
        return super().tick(*args, **kwargs)

    def _start_over(self) -> None:
        """Schedule each entry as if it was sent now."""
        log.warning("the clock was set back: beat starts over")
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()
        self.populate_heap()


def _is_ahead(entry: beat.ScheduleEntry) -> bool:
    """Tell whether the entry's last sending is in the future."""
    return entry.last_run_at is not None and entry.last_run_at > entry.default_now() + LEEWAY
