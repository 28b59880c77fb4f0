"""What the scripts of a run left behind on this machine, looked for when the run is over."""

import logging
import os
import time
from collections.abc import Callable, Sequence

from policies.domain.runs import left_behind
from policies.domain.runs.left_behind import Leftover
from policies.models import Run
from policies.services import runs
from policies.services.window.keeping import runtime_folder
from scripts_admin.domain.shown import shown
from scripts_admin.guard import journal, launching, left, linux
from scripts_admin.guard.left import Left, Sought
from scripts_admin.guard.linux import Process
from scripts_admin.guard.spool import Record

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_TROUBLE = "the processes that run %s left behind could not be looked for"
Ended = set[Process]


def enter(over: Sequence[tuple[Run, Record | None]]) -> None:
    """Look for processes of the runs' scripts, end them where the policy says so, and enter both.

    Nothing is entered for a run that started no script here. An error is no reason for a run not to end.
    """
    sought = dict[str, Sought]()
    here = dict[str, Run]()
    for run, record in over:
        if "left_behind" in run.noted:
            continue  # this process has looked, and what was entered with others was taken back
        try:
            leaders = _leaders(run)
            identity = record.identity if record else None
            if leaders and launching.is_needed(identity):
                _enter(run, *_launched(str(run.pk)))
            elif leaders:
                uid = os.geteuid() if identity is None else identity.uid
                sought[str(run.pk)], here[str(run.pk)] = Sought(leaders, uid), run
        except OSError:
            log.exception(_TROUBLE, run.pk)
    try:
        found = left.find_settled(sought) if sought else {}
    except OSError:
        log.exception(_TROUBLE, ", ".join(sought))
        return
    for key, run in here.items():
        try:
            _enter(run, found[key], left.end)
        except OSError:
            log.exception(_TROUBLE, run.pk)


def _leaders(run: Run) -> list[Process]:
    known = journal.read(runtime_folder(run.pk)).attempts.values()
    return [each.process for each in known if each.process and each.was_ordered]


def _enter(run: Run, found: Sequence[Left], end: Callable[[Sequence[Left]], Ended]) -> None:
    gone = end(found) if found and run.policy and run.policy.end_leftovers else set()
    rows = [_row(each, ended=each.process in gone) for each in found]
    runs.note(run, left_behind=rows)
    if rows:
        runs.record(
            run, f"left behind by its scripts: {', '.join(map(left_behind.in_words, rows))}"
        )


def _launched(run: str) -> tuple[list[Left], Callable[[Sequence[Left]], Ended]]:
    """Return what the launcher knows of the run, which sees every process, and how it is ended."""
    until = linux.boottime() + left.SETTLE_SECONDS
    while (entries := launching.leftovers(run)) and linux.boottime() < until:
        time.sleep(_LOOK_SECONDS)
    found = [
        left.named(linux.identify(int(process["pid"])), str(process["name"]))
        for entry in entries
        for process in entry["processes"]
    ]

    def end(wanted: Sequence[Left]) -> Ended:
        for entry in entries:
            launching.end(Process(int(entry["pid"]), int(entry["start"])))
        still = {
            int(each["pid"]) for entry in launching.leftovers(run) for each in entry["processes"]
        }
        return {each.process for each in wanted if each.process.pid not in still}

    return found, end


def _row(found: Left, *, ended: bool) -> Leftover:
    return Leftover(
        pid=found.process.pid, name=shown(found.name), seconds=int(found.seconds), ended=ended
    )
