"""Celery beat, on a machine whose clock may be set back."""

import logging
from datetime import timedelta
from typing import Any

from celery import Celery, beat
from celery.apps.beat import Beat
from django.conf import settings
from django.utils.log import configure_logging

__all__ = ["Scheduler", "run"]

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


def run(app: Celery) -> None:
    """Send what the schedule of this Celery application says, until told to stop."""
    _Beat(app=app, quiet=True, loglevel="INFO").run()


class _Beat(Beat):
    """Celery's beat without the tasks and Django's applications: it sends names alone."""

    app: Celery

    def init_loader(self) -> None:
        """Set up what Django would have set up: the logs."""
        configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
        self.app.finalize()
