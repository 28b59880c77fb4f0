"""'May be frozen' told without the database: from the spool, the journal and sealed URLs beside the record.

A worker writes the URLs before its window opens. The watchdog reads them when a window is not thawed in time and no row
has told of it for a while: the database is away, or lies on the very disk that is frozen. Nothing here writes, and no
database is asked.
"""

import logging
import math
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from policies.adapters import post
from policies.domain.alarms import addresses, messages
from policies.services.alarms import sealed_urls
from policies.services.alarms.delivering import signed
from scripts_admin.domain.phases import Outcome
from scripts_admin.guard import journal, linux, spool, thaw

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # most windows are over by then
GRACE_SECONDS = 20.0  # for the rows, which say more
AGAIN_SECONDS = 30.0  # after an attempt that failed


@dataclass(slots=True)
class _Window:
    """A window that is not thawed, as this process knows it. Times are seconds since boot."""

    first_seen: float
    bad_at: float = math.inf
    groups: list[list[str]] = field(default_factory=list)  # the URLs of all who are told
    done: set[int] = field(default_factory=set)  # which of them were told
    label: str = ""
    told_at: float | None = None
    next_at: float = 0.0


class SpoolAlarms:
    """Watches the spool in the watchdog; one turn at a time."""

    def __init__(self, spool_folder: Path, runtime: Path) -> None:
        """Remember the two places; neither is read yet."""
        self._spool, self._runtime = spool_folder, runtime
        self._windows: dict[str, _Window] = {}
        self._troubled: set[str] = set()  # windows of whose trouble the log has told
        self.telling: frozenset[UUID] = frozenset()  # runs that are told of at this moment
        self.told: frozenset[UUID] = (
            frozenset()
        )  # runs of which the rows have told; set by another thread

    def is_watching(self) -> bool:
        """Tell whether any window is open, as far as is known."""
        return bool(self._windows)

    def sent(self) -> frozenset[UUID]:
        """Return the runs of which everybody was told from here within the hour."""
        since = linux.boottime() - messages.REPEAT.total_seconds()
        found = list(self._windows.items())
        return frozenset(
            UUID(run) for run, w in found if w.told_at is not None and w.told_at > since
        )

    def turn(self) -> None:
        """Tell of every window that is not thawed in time and that no row has told of."""
        standing = set()
        for folder in spool.folders(self._spool):
            if not (folder / spool.RECORD).exists():
                continue
            standing.add(folder.name)
            try:
                with suppress(FileNotFoundError):
                    self._look(folder)
            except Exception:  # one window's trouble must not keep another from being told
                if folder.name not in self._troubled:
                    log.exception("window %s cannot be looked at", folder.name)
                self._troubled.add(folder.name)
        self._troubled &= standing
        for gone in set(self._windows) - standing:
            window = self._windows[gone]
            self._gone(gone, window)
            if window.told_at is None or self._is_past(window):
                del self._windows[gone]

    def _gone(self, run: str, window: _Window) -> None:
        """Tell of the thaw of a window that was entered before it was seen here, where no row tells of it."""
        if window.done and UUID(run) not in self.told:
            known = journal.read_if_there(self._runtime / run)
            if known and known.afters and known.afters[-1].settled == Outcome.SUCCEEDED:
                self._thawed(run, window)
        window.done, window.groups = set(), []

    @staticmethod
    def _is_past(window: _Window) -> bool:
        """Tell whether it may be told again; until then it is remembered, as its row may come late."""
        return (window.told_at or 0.0) + messages.REPEAT.total_seconds() < linux.boottime()

    def _look(self, folder: Path) -> None:
        now = linux.boottime()
        window = self._windows.setdefault(folder.name, _Window(now))
        if now < max(window.first_seen + LOOK_SECONDS, window.next_at):
            return
        record, standing = thaw.look(folder, self._runtime / folder.name)
        if not standing.failing:
            if window.done:
                self._thawed(folder.name, window)
            return
        self._note(window, record, self._runtime / folder.name, now)
        if now < window.bad_at + GRACE_SECONDS:
            return
        if window.told_at is None and UUID(folder.name) in self.told:
            return
        if window.told_at is None or self._is_past(window):
            self.telling = frozenset({UUID(folder.name)})
            try:
                self._tell(folder, window, now, given_up=standing.given_up)
            finally:
                self.telling = frozenset()

    @staticmethod
    def _note(window: _Window, record: spool.Record, runtime: Path, now: float) -> None:
        """Note since when the window is not as it should be: an after has failed, or is late."""
        known = journal.read_if_there(runtime)
        if known is not None and any(after.ended_boot is not None for after in known.afters):
            window.bad_at = min(window.bad_at, now)
            return
        after = record.after.timeout_seconds if record.after else 0.0
        window.bad_at = window.first_seen + record.max_freeze_seconds + after

    @staticmethod
    def _thawed(run: str, window: _Window) -> None:
        """Tell whom it was told that it might be frozen that it is not any more."""
        told, window.done = window.done, set()  # each once, whatever comes of another
        how = f"after has succeeded: {window.label} is thawed."
        message = messages.recovered(window.label, run, how)
        for number in told:
            _carry(window.groups[number], message)

    def _tell(self, folder: Path, window: _Window, now: float, *, given_up: bool) -> None:
        window.groups, window.label = sealed_urls.read(folder), _label(folder)
        if window.told_at is not None:
            window.done, window.told_at = set(), None
        since = datetime.fromtimestamp((folder / spool.RECORD).stat().st_mtime, tz=UTC)
        message = messages.seen_in_the_spool(window.label, since, folder.name, given_up=given_up)
        for number, urls in enumerate(window.groups):
            if not thaw.look(folder, self._runtime / folder.name)[1].failing:
                return  # thawed while another one was told
            if number not in window.done and _carry(urls, message):
                window.done.add(number)
        if window.groups and len(window.done) == len(window.groups):
            window.told_at = linux.boottime()
        else:  # where nobody can be told from here, the rows still may
            window.next_at = now + AGAIN_SECONDS


def _carry(urls: list[str], message: messages.Message) -> bool:
    text = signed(message.text)
    letters = [post.Letter(n, url, message.title, text) for n, url in enumerate(urls)]
    problems = post.carry(letters)
    for letter in letters:
        if problems[letter.id]:
            shown = addresses.masked(letter.url)
            log.warning("%s: not sent yet, %s: %s", message.title, shown, problems[letter.id])
    return not any(problems.values())


def _label(folder: Path) -> str:
    environment = spool.read_any(folder).environment
    return f"{environment['N2W_OWNER']}/{environment['N2W_POLICY']}"
