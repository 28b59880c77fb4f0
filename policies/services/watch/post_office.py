"""The watchdog's post office: a few threads send what is due, so that no receiver delays another.

None of them is the thread that thaws.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from policies.services.alarms import delivering
from policies.services.alarms.delivering import Batch
from policies.services.watch.from_spool import SpoolAlarms

log = logging.getLogger(__name__)

SLOTS = 6
ORDINARY = 3  # the other slots are for 'may be frozen' alarms only
# The most slots for the receivers of one user at a time, as they may hang.
ORDINARY_OF_ONE = 1
URGENT_OF_ONE = 2
TURN_SECONDS = 1.0


class Outbox:
    """Sends what is due, each batch in a thread of its own."""

    def __init__(self, spooled: SpoolAlarms) -> None:
        """Remember the sender of alarms without the database; nothing is read yet."""
        self._spooled = spooled
        self._open: dict[threading.Thread, Batch] = {}

    def turn(self) -> None:
        """Start what is due and has a free slot. May wait for the database, but for nothing else."""
        self._open = {thread: batch for thread, batch in self._open.items() if thread.is_alive()}
        delivering.spread(**self._spooled.known())
        if self._spooled.is_watching():
            self._spooled.told = frozenset(delivering.told())
        waits = set[int | None]()  # receivers that can get nothing now
        while len(self._open) < SLOTS:
            batch = self._claim(waits)
            if batch is None:
                return
            if not batch.deliveries:
                if not batch.urgent:  # an urgent one never waits: a newer message replaced it
                    waits.add(batch.receivers)
                continue
            thread = threading.Thread(target=_send, args=(batch,), name="send", daemon=True)
            thread.start()
            self._open[thread] = batch

    def _claim(self, waits: Collection[int | None]) -> Batch | None:
        """Claim a batch that has a free slot, and whose owner does not use too many."""
        ordinary = Counter(batch.owner for batch in self._open.values() if not batch.urgent)
        urgent = Counter(batch.owner for batch in self._open.values() if batch.urgent)
        return delivering.claim(
            waits,
            owners=[owner for owner, slots in ordinary.items() if slots >= ORDINARY_OF_ONE],
            urgent_owners=[owner for owner, slots in urgent.items() if slots >= URGENT_OF_ONE],
            only_urgent=ordinary.total() >= ORDINARY,
        )


def _send(batch: Batch) -> None:
    try:
        delivering.send(batch)
    except Exception:
        log.exception("messages could not be sent; they are tried again")
    finally:
        connection.close()


def start(spooled: SpoolAlarms) -> None:
    """Send for ever, in threads that end with the process."""
    outbox = Outbox(spooled)
    for name, turn in (("outbox", outbox.turn), ("spool alarms", spooled.turn)):
        threading.Thread(target=_for_ever, args=(turn,), name=name, daemon=True).start()


def _for_ever(turn: Callable[[], None]) -> None:
    is_away = False
    while True:
        try:
            turn()
            is_away = False
        except (DatabaseError, InterfaceError) as error:
            if not is_away:  # logged once: if the log cannot be written, repeated lines would block other threads
                log.warning("the database is away; its alarms are sent later: %s", error)
            is_away = True
            close_old_connections()
        except Exception:
            log.exception("a turn of the outbox failed; the next one follows")
        time.sleep(TURN_SECONDS)
