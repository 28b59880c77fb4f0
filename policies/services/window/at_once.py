"""The results of a window that went as it nearly always does, with one commit.

Its calls were answered, its scripts ran on this server, and after has succeeded. Everything else is entered step by
step, by `entering`.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.db import transaction

from n2wbackup.lib import clock, compiled, outages
from policies.domain.runs.sequence import Event, State
from policies.domain.runs.verdict import Consistency, Facts, Target, window_consistency
from policies.models import Run, RunTarget
from policies.services import runs
from policies.services.window import answers, entering, moments
from policies.services.window.entering import Line, Result
from policies.services.window.volley import Fired
from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from scripts_admin.guard import journal as journals
from scripts_admin.guard import spool
from scripts_admin.guard import thaw as thaws
from scripts_admin.guard.journal import Journal

log = logging.getLogger(__name__)


def enter(run: Run, folder: Path, runtime: Path, fired: Sequence[Fired]) -> bool:
    """Enter the calls, the scripts and the thaw together; False, and nothing entered, where that is not possible.

    Then each is entered by itself, and what failed fails there again. Only a database that is away is an error.
    """
    try:
        return _enter(run, folder, runtime, fired)
    except outages.AWAY:
        raise
    except Exception:
        log.exception("the window of run %s is entered step by step", run.pk)
        return False


def _enter(run: Run, folder: Path, runtime: Path, fired: Sequence[Fired]) -> bool:
    if spool.is_held(folder) or any(one.shot.target.remote for one in fired):
        return False
    record, standing = thaws.look(folder, runtime)
    event, text = entering.event_of(standing)
    if event != Event.THAWED or record.instances or run.state != State.FROZEN:
        return False
    journal = journals.read(runtime)
    new = entering.new_results(run, record, journal, standing.before)
    with _as_it_was(run), transaction.atomic():
        lines = [*_shots(fired), *entering.enter_results(new)]
        entered = runs.apply(
            run,
            event,
            "",
            expected={"thaw_attempts": run.thaw_attempts},
            thaw_attempts=max((each.row.attempt for each in new), default=run.thaw_attempts),
            thaw_by=entering.thaw_by(journal, standing),
            thaw_next_at=None,
            fired_at=answers.last(fired) or run.fired_at,
            **entering.spans(journal),
        )
        if not entered:
            transaction.set_rollback(True)
            return False
        _targets(run, fired, journal, new)
        runs.record_all(run, [*lines, (text, clock.now(), run.state)])
    entering.close(folder, standing)
    return True


@contextmanager
def _as_it_was(run: Run) -> Iterator[None]:
    """Take back on the run what a transaction takes back in its row."""
    columns, noted = dict(vars(run)), dict(run.noted)
    try:
        yield
    except BaseException:
        vars(run).clear()
        vars(run).update(columns)
        run.noted.clear()
        run.noted.update(noted)
        raise


def _shots(fired: Sequence[Fired]) -> list[Line]:
    return [(answers.text(one), moments.of(one.returned_at or None), State.FROZEN) for one in fired]


def _targets(run: Run, fired: Sequence[Fired], journal: Journal, new: Sequence[Result]) -> None:
    """Enter the snapshots, and of each target what it has come to and what its snapshots will be worth."""
    first = {each.row.phase: Outcome.of(each.row.outcome) for each in new if each.row.attempt == 1}
    facts = Facts(
        before=first.get(Phase.BEFORE, Outcome.NOT_RUN),
        after=first.get(Phase.AFTER, Outcome.NOT_RUN),
        complete=Outcome.NOT_RUN,
        thawed_on_request=run.thaw_by == ThawBy.WORKER,
        cancelled=run.cancel_requested_at is not None,
        required=Consistency(run.success_requires or Consistency.CRASH),
        is_test=run.is_test,
        test_phase=run.test_phase,
        targets=(),
    )
    made = []
    for one in fired:
        target = answers.judge(one, journal)
        target.reason = answers.lacks(target, one.snapshots) or target.reason
        if target.state == RunTarget.State.FIRED:
            target.consistency = window_consistency(facts, _judged(target))
        columns = answers.columns(target) | {"consistency": target.consistency}
        compiled.change(RunTarget, {"pk": target.pk}, columns)
        made += answers.snapshots(target, one.snapshots)
    compiled.enter(made, ignore_conflicts=True)


def _judged(target: RunTarget) -> Target:
    return Target(returned_before_thaw=target.returned_before_thaw, usable=0, whole=False)
