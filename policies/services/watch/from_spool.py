"""The 'may be frozen' alarm without the database: from the spool, the journal and the sealed URLs.

A worker writes the URLs beside the record before its window opens. The watchdog reads them if a window
is not thawed in time and no row has reported it for a while: the database is away, or is on the frozen
disk itself. Nothing here writes to disk or uses the database.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from policies.adapters import post
from policies.domain.alarms import addresses, messages
from policies.services.alarms import delivering, sealed_urls
from policies.services.alarms.delivering import signed
from scripts_admin.domain.phases import Outcome
from scripts_admin.guard import journal, linux, spool, thaw
from scripts_admin.guard.spool import UnreadableRecordError

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # most windows are over by then
GRACE_SECONDS = 20.0  # for the alarm from the rows, which says more
AGAIN_SECONDS = 30.0  # after a failed attempt
_FORGET_SECONDS = messages.REPEAT.total_seconds()


@dataclass(slots=True)
class _Window:
    """A window that is not thawed, as this process knows it. Times are seconds since boot."""

    first_seen: float
    bad_at: float = math.inf
    groups: list[list[str]] = field(default_factory=list)  # the URLs of all receivers
    done: set[int] = field(default_factory=set)  # which of them got the alarm
    label: str = ""
    told_at: float | None = None
    next_at: float = 0.0


class SpoolAlarms:
    """Watches the spool for the watchdog; one turn at a time."""

    def __init__(self, spool_folder: Path, runtime: Path) -> None:
        """Remember the two places; neither is read yet."""
        self._spool, self._runtime = spool_folder, runtime
        self._windows: dict[str, _Window] = {}
        self._thawed_at: dict[
            UUID, float
        ] = {}  # runs whose thaw went to everyone who got the alarm
        self._troubled: set[str] = set()  # windows whose error is in the log already
        self._telling: frozenset[UUID] = frozenset()  # runs of which a message is being sent now
        self.told: frozenset[UUID] = (
            frozenset()
        )  # runs whose alarm was sent from the rows; another thread sets this

    def is_watching(self) -> bool:
        """Tell whether any known window is open."""
        return bool(self._windows)

    def known(self) -> delivering.Known:
        """Return what went from here to every receiver in the last hour, for the sender of the rows."""
        waiting = (
            self._telling
        )  # read first: a message that ends meanwhile is then among the others
        since = linux.boottime() - messages.REPEAT.total_seconds()
        found = list(self._windows.items())
        frozen = {UUID(run) for run, w in found if w.told_at is not None and w.told_at > since}
        thawed = {run for run, at in list(self._thawed_at.items()) if at > since}
        return {"frozen": frozen, "thawed": thawed, "waiting": waiting}

    def turn(self) -> None:
        """Send an alarm for every window that is not thawed in time and that no row has reported."""
        standing = set()
        for folder in spool.folders(self._spool):
            if not (folder / spool.RECORD).exists():
                continue
            standing.add(folder.name)
            try:
                with suppress(FileNotFoundError):
                    self._look(folder)
            except Exception:  # an error in one window must not stop the alarm of another
                if folder.name not in self._troubled:
                    log.exception("window %s could not be checked for an alarm", folder.name)
                self._troubled.add(folder.name)
        self._troubled &= standing
        for gone in set(self._windows) - standing:
            window = self._windows[gone]
            self._gone(gone, window)
            if window.told_at is None or self._is_past(window):
                del self._windows[gone]

    def _gone(self, run: str, window: _Window) -> None:
        """Report a thaw that was entered before this thread saw it, if no row reports it."""
        self._thawed_at = {
            one: at
            for one, at in self._thawed_at.items()
            if at > linux.boottime() - _FORGET_SECONDS
        }
        if window.done:
            known = journal.read_if_there(self._runtime / run)
            if known and known.afters and known.afters[-1].settled == Outcome.SUCCEEDED:
                self._thawed(run, window)
        window.done, window.groups = set(), []

    @staticmethod
    def _is_past(window: _Window) -> bool:
        """Tell whether the alarm may be repeated; the window is kept until then, as its row may come late."""
        return (window.told_at or 0.0) + messages.REPEAT.total_seconds() < linux.boottime()

    def _look(self, folder: Path) -> None:
        now = linux.boottime()
        window = self._windows.setdefault(folder.name, _Window(now))
        if now < max(window.first_seen + LOOK_SECONDS, window.next_at):
            return
        record, standing = _seen(folder, self._runtime / folder.name)
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
            with self._sending(folder.name):
                self._tell(folder, window, now, given_up=standing.given_up)

    @staticmethod
    def _note(window: _Window, record: spool.Record | None, runtime: Path, now: float) -> None:
        """Note since when the window has a problem: after has failed, or is late, or nobody can read what to do."""
        if record is None:
            window.bad_at = min(window.bad_at, now)
            return
        known = journal.read_if_there(runtime)
        if known is not None and any(after.ended_boot is not None for after in known.afters):
            window.bad_at = min(window.bad_at, now)
            return
        after = record.after.timeout_seconds if record.after else 0.0
        window.bad_at = window.first_seen + record.max_freeze_seconds + after

    @contextmanager
    def _sending(self, run: str) -> Iterator[None]:
        """Let the rows of the run wait during the block."""
        self._telling = frozenset({UUID(run)})
        try:
            yield
        finally:
            self._telling = frozenset()

    def _thawed(self, run: str, window: _Window) -> None:
        """Tell everyone who got the 'may be frozen' alarm that the application is thawed, if no row does."""
        told, window.done = window.done, set()  # one attempt each, even if another one fails
        if UUID(run) in self.told:
            return
        message = messages.recovered(window.label, run, messages.thawed(window.label, run))
        with self._sending(run):
            carried = [_carry(window.groups[number], message) for number in told]
            if all(carried) and len(carried) == len(window.groups):
                self._thawed_at[UUID(run)] = linux.boottime()

    def _tell(self, folder: Path, window: _Window, now: float, *, given_up: bool) -> None:
        window.groups, window.label = sealed_urls.read(folder), _label(folder)
        if window.told_at is not None:
            window.done, window.told_at = set(), None
        since = datetime.fromtimestamp((folder / spool.RECORD).stat().st_mtime, tz=UTC)
        message = messages.seen_in_the_spool(window.label, since, folder.name, given_up=given_up)
        for number, urls in enumerate(window.groups):
            if not _seen(folder, self._runtime / folder.name)[1].failing:
                return  # thawed while another receiver got the alarm
            if number not in window.done and _carry(urls, message):
                window.done.add(number)
        if window.groups and len(window.done) == len(window.groups):
            window.told_at = linux.boottime()
        else:  # if no receiver can be reached from here, the rows may still reach one
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


def _seen(folder: Path, runtime: Path) -> tuple[spool.Record | None, thaw.Standing]:
    """Return the record and the state of a window. A record that cannot be read is a thaw that fails."""
    try:
        return thaw.look(folder, runtime)
    except UnreadableRecordError:
        if spool.is_held(folder):  # its guard read it, and thaws
            return None, thaw.Standing(Outcome.INTERRUPTED)
        return None, thaw.Standing(Outcome.INTERRUPTED, given_up=True, failing=True)


def _label(folder: Path) -> str:
    """Return "owner/policy", as far as the record names them."""
    with suppress(KeyError, UnreadableRecordError):
        environment = spool.read_any(folder).environment
        return f"{environment['N2W_OWNER']}/{environment['N2W_POLICY']}"
    return f"run {folder.name}"
