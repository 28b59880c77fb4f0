"""Thawing a window whose own guard did not thaw it, or failed: which attempt is due, and starting it.

Works from the spool and the journal alone, so it needs no database, broker or worker.
"""

import signal
from dataclasses import dataclass, replace
from pathlib import Path

from scripts_admin.domain.phases import ENDED_BY_ITSELF, FINE, Outcome, Phase
from scripts_admin.guard import journal, keeper, linux, spool
from scripts_admin.guard.on_instances import There

RETRY_SECONDS = (1, 2, 5, 10, 30, 60)


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """The next attempt of after. `at` is in seconds since boot; if it is in the past, the attempt is due."""

    attempt: int
    argument: str
    at: float


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a window once its keeper is gone.

    `due` None with `given_up` False: nothing is left to thaw here. `owed` are the instances that were told to begin
    and have not told that they are over: each thaws by itself, and is asked until it has told.
    """

    before: Outcome  # as far as it can be known
    due: NextAttempt | None = None
    given_up: bool = False
    failing: bool = False  # the last attempt failed, or none has ended
    owed: tuple[str, ...] = ()

    @property
    def is_thawed(self) -> bool:
        return self.due is None and not self.given_up and not self.owed


def standing(
    record: spool.Record, known: journal.Journal | None, boot: str, now: float = 0.0
) -> Standing:
    """Return the state of a window that nobody keeps. `known` None: its journal is lost, so anything may be frozen.

    `now`, in seconds since boot, ends the time for which instances are asked.
    """
    found = _here(record, known, boot)
    owed = _owed(record, known, boot)
    failed = known is not None and any(there.has_given_up for there in known.there.values())
    if not owed and not failed:
        return found
    asked = known.visited_boot if known is not None else None
    is_late = asked is not None and now > asked + record.thaw_retry_seconds
    given_up = found.given_up or (found.due is None and (is_late or not owed))
    return replace(found, owed=owed, failing=True, given_up=given_up)


def _owed(record: spool.Record, known: journal.Journal | None, boot: str) -> tuple[str, ...]:
    """Return the instances that may be frozen; all of them where it is lost whether they were told to begin."""
    if record.is_foreign:
        return ()
    is_lost = known is None or record.boot != boot or (known.opened and not known.armed)
    found = {} if known is None else known.there
    owed = []
    for each in record.instances:
        there = found.get(each.instance, There(each.instance))
        is_over = bool(there.over or there.refused)
        if each.armed and not is_over and (there.was_told or is_lost):
            owed.append(each.instance)
    return tuple(owed)


def _here(record: spool.Record, known: journal.Journal | None, boot: str) -> Standing:
    unopened = known is not None and not known.opened and record.boot == boot
    if unopened and not record.is_foreign:
        return Standing(Outcome.NOT_RUN)
    before = _before(record, known)
    if record.after is None:
        return Standing(before)
    argument = "1" if before in FINE and _are_fine_there(record, known) else "0"
    afters = known.afters if known else []
    if not afters:
        return Standing(before, NextAttempt(1, argument, 0.0), failing=True)
    last, number = afters[-1], len(afters)
    if last.settled != Outcome.SUCCEEDED:
        return _failed(record, before, afters, argument)
    again_at = _again_at(record, before, known, afters)
    if (last.ordered_boot or 0.0) >= again_at:
        return Standing(before)
    return Standing(before, NextAttempt(number + 1, argument, again_at))


def _are_fine_there(record: spool.Record, known: journal.Journal | None) -> bool:
    """Tell whether every before on an instance is known to have succeeded."""
    for each in record.instances:
        if each.argument:
            continue  # after alone: no before has run there
        there = known.there.get(each.instance) if known else None
        told = there.outcome if there else Outcome.NOT_RUN
        if (told if each.armed else Outcome.of(each.outcome)) not in FINE:
            return False
    return True


def _before(record: spool.Record, known: journal.Journal | None) -> Outcome:
    if record.is_foreign:
        return Outcome.INTERRUPTED  # we cannot know what else another version did to freeze
    if record.before is None:
        return record.before_outcome
    attempt = known.before if known else None
    return attempt.settled if attempt else Outcome.INTERRUPTED


def _failed(
    record: spool.Record, before: Outcome, afters: list[journal.Attempt], argument: str
) -> Standing:
    last, number = afters[-1], len(afters)
    # An attempt whose guard died has no end in the journal: count from its start, or it is repeated without a pause.
    pause = RETRY_SECONDS[min(number, len(RETRY_SECONDS)) - 1]
    # The script has not failed: it was cut short, by whatever killed its guard or its launcher.
    lost_first = number == 1 and last.settled == Outcome.INTERRUPTED
    at = 0.0 if lost_first else _moment(last) + pause
    if at > _moment(afters[0]) + record.thaw_retry_seconds:
        return Standing(before, given_up=True, failing=True)
    return Standing(before, NextAttempt(number + 1, argument, at), failing=True)


def _moment(attempt: journal.Attempt) -> float:
    """Return when the attempt ended, or when it started if its end is not known."""
    return attempt.ended_boot if attempt.ended_boot is not None else attempt.ordered_boot or 0.0


def _again_at(
    record: spool.Record,
    before: Outcome,
    known: journal.Journal | None,
    afters: list[journal.Attempt],
) -> float:
    """Return the earliest start of an after that counts as the last one; 0 if before ended by itself."""
    if before in ENDED_BY_ITSELF or record.before is None:
        return 0.0
    attempt = known.before if known else None
    cut = attempt.ended_boot if attempt and attempt.ended_boot is not None else None
    since = cut if cut is not None else afters[0].ordered_boot or 0.0
    return since + record.before.timeout_seconds


def look(spool_folder: Path, runtime_folder: Path) -> tuple[spool.Record, Standing]:
    """Return the record and the state of a run; FileNotFoundError if no record was ever written.

    Where there is no after, an attempt is due as long as before is at work: its guard ends before, and runs nothing.
    """
    record = spool.read(spool_folder)
    known = journal.read_if_there(runtime_folder)
    if record.instances:
        known = journal.with_visits(runtime_folder, known)
    found = standing(record, known, linux.boot_id(), linux.boottime())
    if found.due is None and known is not None and _is_at_work(record, known):
        found = replace(found, due=NextAttempt(1, "0", 0.0), failing=True)
    return record, found


def _is_at_work(record: spool.Record, known: journal.Journal) -> bool:
    """Tell whether before may still freeze something, and no after will come whose guard ends it first."""
    if record.after is not None or not known.opened or record.boot != linux.boot_id():
        return False
    before = known.before
    if before is None or before.process is None or not before.was_ordered:
        return False
    return before.ended_at is None and not linux.group_is_gone(before.process)


def wake(runtime_folder: Path) -> None:
    """Continue the guard of a run if somebody has stopped it (SIGSTOP, a debugger)."""
    guard = journal.read(runtime_folder).guard
    if guard is not None:
        linux.signal_group(guard, signal.SIGCONT)


def start(
    spool_folder: Path,
    runtime_folder: Path,
    lock: int,
    due: NextAttempt,
    secrets: tuple[bytes, ...] = (),
    *,
    as_itself: bool = False,
) -> keeper.Guard:
    """Start the attempt in a new guard, which gets the run's lock; return at once."""
    single = (Phase.AFTER, due.argument, due.attempt)
    return keeper.Guard(spool_folder, runtime_folder, lock, secrets, single, as_itself=as_itself)
