"""Whose run is next while many wait: the owner's with the fewest windows, not the one whose hint came first.

The broker hands hints out in the order in which they were sent. An owner with five hundred policies that are due at
once would so delay every other owner's one. So while all threads of a worker are taken, a hint is no more than the
word that one run can begin; which one is decided here. There are as many hints as runs that wait, so none is left over.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.services import claiming

__all__ = ["Line", "another_than", "next_for"]

FRESH_SECONDS, EMPTY_SECONDS = 0.5, 0.05
# Looking may take a twentieth of the time at most, however many wait.
_SHARE = 20
_OPEN = (State.PREPARING, State.FROZEN)  # what is thawed again and again takes no thread
_Places = dict[UUID, datetime | None]  # runs, the oldest first, with the time of their last hint


class Line:
    """The owners whose runs wait, as this process saw them a moment ago, with what it has taken since."""

    def __init__(self) -> None:
        """Nobody has been looked for yet."""
        self._lock = threading.Lock()
        self._waiting: dict[int | None, _Places] = {}
        self._open: Counter[int | None] = Counter()
        self._looked_at = self._good_until = 0.0

    def next_for(self, hint: UUID) -> UUID:
        """Return the run to take now: the hinted one, unless another owner with fewer windows waits."""
        owners = (
            Run.objects.unfinished(State.QUEUED).filter(pk=hint).values_list("owner_id", flat=True)
        )
        found = list(owners)
        for pk, seen in self._fairer_than(found[0] if found else None, hint if found else None):
            if _take(pk, seen):
                return pk
        return hint

    def another_than(self, hint: UUID) -> UUID | None:
        """Return a run to take in place of one that is no longer there; None if none waits."""
        with self._lock:
            if not self._waiting:
                self._good_until = min(self._good_until, self._looked_at + EMPTY_SECONDS)
        for pk, seen in self._fairer_than(None, None):
            if pk != hint and _take(pk, seen):
                return pk
        return None

    def _fairer_than(
        self, owner: int | None, hint: UUID | None
    ) -> Iterator[tuple[UUID, datetime | None]]:
        """Yield runs to try, the owner's with the fewest windows first; none if it is the turn of the hint's owner."""
        while True:
            with self._lock:
                self._look()
                fairest = min(self._waiting, key=lambda each: self._open[each], default=None)
                if fairest not in self._waiting:
                    return
                if hint is not None and self._open[owner] <= self._open[fairest]:
                    self._note(owner, hint)
                    return
                # The last one: the hint of the first comes soon, perhaps to another process at this very moment.
                pk, seen = next(reversed(self._waiting[fairest].items()))
                self._note(fairest, pk)
            yield pk, seen

    def _note(self, owner: int | None, pk: UUID) -> None:
        """Note that a run of the owner begins."""
        self._open[owner] += 1
        places = self._waiting.get(owner, {})
        places.pop(pk, None)
        if not places:
            self._waiting.pop(owner, None)

    def _look(self) -> None:
        now = clock.boottime()
        if now < self._good_until:
            return
        self._waiting, self._open = {}, Counter()
        for pk, owner, sent_at in _queued():
            self._waiting.setdefault(owner, {})[pk] = sent_at
        kept = Run.objects.unfinished(*_OPEN).filter(server_gone_at=None)
        self._open.update(kept.values_list("owner_id", flat=True))
        self._looked_at = now
        took = clock.boottime() - now
        self._good_until = now + max(FRESH_SECONDS, took * _SHARE)


def _queued() -> Iterator[tuple[UUID, int | None, datetime | None]]:
    rows = Run.objects.unfinished(State.QUEUED).filter(~claiming.waiting(clock.now()))
    # Sorted here: the database would go through the whole history, to sort these few.
    found = sorted(
        rows.values_list("created_at", "pk", "owner_id", "dispatched_at"), key=lambda row: row[:2]
    )
    return ((pk, owner, sent_at) for _, pk, owner, sent_at in found)


def _take(pk: UUID, seen: datetime | None) -> bool:
    """Take the run's next hint for this process, as if it had just come: of several processes, one gets it."""
    same = Run.objects.filter(pk=pk)
    return compare_and_set(
        same, {"state": State.QUEUED, "dispatched_at": seen}, dispatched_at=clock.now()
    )


_line = Line()
next_for, another_than = _line.next_for, _line.another_than
