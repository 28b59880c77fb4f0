"""The threads of a worker: it takes a message from the broker only when a thread is free for it.

A message that waits within one process waits for the windows that this process has open, while another process may
have nothing to do. So none is taken ahead, and the worker asks for the next one as soon as a thread is free.
"""

import os
from concurrent.futures import Future
from typing import Any

from celery.concurrency import thread

__all__ = ["Pool", "is_full"]

_busy = (
    0  # tasks of this process that have been given to its threads; only the worker's loop counts up
)
_threads = 0


def is_full() -> bool:
    """Tell whether every thread of this worker has a task: then others may wait in the broker."""
    return 0 < _threads <= _busy


class Pool(thread.TaskPool):
    """Celery's threads, which wake the worker's loop when one of them is free."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        self._free = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def register_with_event_loop(self, hub: Any) -> None:  # noqa: ANN401 - kombu has no annotations
        """Have the loop wake when a thread is free; called again after each loss of the broker."""
        hub.add_reader(self._free, self._noted)

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        global _busy, _threads  # noqa: PLW0603 - of this process
        _busy, _threads = _busy + 1, self.limit  # first: the task itself may ask
        try:
            given = super().on_apply(*args, **kwargs)
        except BaseException:
            _busy -= 1
            raise
        given.f.add_done_callback(self._freed)
        return given

    def _freed(self, _: "Future[Any]") -> None:
        os.eventfd_write(self._free, 1)

    def _noted(self) -> None:
        global _busy  # noqa: PLW0603 - as above; here too the loop counts
        _busy -= os.eventfd_read(self._free)
