"""Who thaws, when, and with which argument: the cases of a window that no process keeps."""

from dataclasses import replace
from typing import Any

import pytest

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import thaw
from scripts_admin.guard.journal import Journal
from scripts_admin.guard.spool import Record, ScriptCommand
from scripts_admin.guard.thaw import NextAttempt, Standing, standing

BOOT = "boot"
RECORD = Record(
    run="run",
    boot=BOOT,
    folder="",
    environment={},
    max_freeze_seconds=60.0,
    thaw_retry_seconds=3600.0,
    before=ScriptCommand(Phase.BEFORE, ("before",), 30.0),
    after=ScriptCommand(Phase.AFTER, ("after",), 20.0),
)


class Story:
    """A journal, written in a few words."""

    def __init__(self) -> None:
        self.journal = Journal(opened=True)

    def _take(self, kind: str, boot: float, **values: Any) -> None:
        self.journal.take({"event": kind, "at": boot, "boot": boot} | values)

    def before(
        self, start: float, end: float | None = None, outcome: Outcome = Outcome.SUCCEEDED
    ) -> "Story":
        return self._script(Phase.BEFORE, 1, start, end, outcome)

    def after(
        self, start: float, end: float | None = None, outcome: Outcome = Outcome.SUCCEEDED
    ) -> "Story":
        return self._script(Phase.AFTER, len(self.journal.afters) + 1, start, end, outcome)

    def _script(
        self, phase: str, attempt: int, start: float, end: float | None, outcome: Outcome
    ) -> "Story":
        key: dict[str, Any] = {"phase": phase, "attempt": attempt}
        self._take("spawned", start, **key, pid=1, start_ticks=1)
        self._take("ordered", start, **key, argument=None, script=phase)
        if end is not None:
            self._take("ended", end, **key, outcome=outcome, exit_code=0)
        return self

    def stands(self, record: Record = RECORD, boot: str = BOOT) -> Standing:
        return standing(record, self.journal, boot)


def test_before_go_nothing_was_frozen() -> None:
    assert standing(RECORD, Journal(), BOOT) == Standing(Outcome.NOT_RUN)


def test_a_window_that_was_thawed_well_is_over() -> None:
    assert Story().before(1, 2).after(3, 4).stands() == Standing(Outcome.SUCCEEDED)


@pytest.mark.parametrize(
    ("outcome", "argument"),
    [
        (Outcome.SUCCEEDED, "1"),
        (Outcome.FAILED, "0"),
        (Outcome.CRASHED, "0"),
        (Outcome.TIMED_OUT, "0"),
    ],
)
def test_without_an_after_it_is_due_at_once_with_what_before_was(
    outcome: Outcome, argument: str
) -> None:
    assert Story().before(1, 2, outcome).stands() == Standing(
        outcome, NextAttempt(1, argument, 0.0), failing=True
    )


def test_a_before_whose_end_nobody_saw_counts_as_0() -> None:
    assert Story().before(1).stands() == Standing(
        Outcome.INTERRUPTED, NextAttempt(1, "0", 0.0), failing=True
    )


def test_a_missing_before_counts_as_1_and_one_that_could_not_run_as_0() -> None:
    without = replace(RECORD, before=None)

    assert Story().stands(without).due == NextAttempt(1, "1", 0.0)
    assert Story().stands(
        replace(without, not_run={Phase.BEFORE: Outcome.AMBIGUOUS})
    ).due == NextAttempt(1, "0", 0.0)


@pytest.mark.parametrize(
    ("failures", "pause"),
    [(1, 1), (2, 2), (3, 5), (4, 10), (5, 30), (6, 60), (7, 60), (20, 60)],
)
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED])
def test_a_failed_after_is_tried_again_after_longer_and_longer(
    failures: int, pause: int, outcome: Outcome
) -> None:
    story, end = Story().before(1, 2), 10.0
    for number in range(failures):
        end = 10.0 + number
        story.after(end - 1, end, outcome)

    assert story.stands() == Standing(
        Outcome.SUCCEEDED, NextAttempt(failures + 1, "1", end + pause), failing=True
    )


def test_after_its_time_it_is_given_up_counted_from_the_first_attempt() -> None:
    story = Story().before(1, 2).after(3, 10, Outcome.FAILED).after(3600, 3608, Outcome.FAILED)
    assert story.stands().due == NextAttempt(3, "1", 3610.0)

    story.after(3610, 3610.5, Outcome.FAILED)

    assert story.stands() == Standing(Outcome.SUCCEEDED, given_up=True, failing=True)


def test_an_after_that_succeeds_late_ends_it() -> None:
    story = Story().before(1, 2).after(3, 10, Outcome.FAILED).after(11, 12)

    assert story.stands() == Standing(Outcome.SUCCEEDED)


def test_an_after_whose_guard_died_is_due_again_at_once() -> None:
    assert Story().before(1, 2).after(3).stands() == Standing(
        Outcome.SUCCEEDED, NextAttempt(2, "1", 0.0), failing=True
    )


def test_an_after_that_was_cut_short_with_its_launcher_is_due_again_at_once_and_then_with_pauses() -> (
    None
):
    story = Story().before(1, 2).after(3, 4, Outcome.INTERRUPTED)
    assert story.stands() == Standing(Outcome.SUCCEEDED, NextAttempt(2, "1", 0.0), failing=True)
    assert story.after(5, 6, Outcome.INTERRUPTED).stands() == Standing(
        Outcome.SUCCEEDED, NextAttempt(3, "1", 8.0), failing=True
    )


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.INTERRUPTED])
def test_a_before_that_was_cut_short_is_thawed_once_more_when_its_time_has_passed_again(
    outcome: Outcome,
) -> None:
    story = Story().before(1, 31, outcome).after(32, 33)
    assert story.stands() == Standing(outcome, NextAttempt(2, "0", 61.0))

    story.after(61, 62)

    assert story.stands() == Standing(outcome)


def test_a_before_whose_guard_died_is_counted_from_the_first_after() -> None:
    story = Story().before(1).after(40, 41)

    assert story.stands() == Standing(Outcome.INTERRUPTED, NextAttempt(2, "0", 70.0))
    assert story.after(70, 71).stands() == Standing(Outcome.INTERRUPTED)


def test_a_repetition_that_came_too_early_does_not_count() -> None:
    story = Story().before(1, 31, Outcome.TIMED_OUT).after(32, 33, Outcome.FAILED).after(34, 35)

    assert story.stands() == Standing(Outcome.TIMED_OUT, NextAttempt(3, "0", 61.0))


def test_a_repetition_that_fails_is_tried_again_like_any_other() -> None:
    story = Story().before(1, 31, Outcome.TIMED_OUT).after(32, 33).after(61, 62, Outcome.FAILED)

    assert story.stands() == Standing(Outcome.TIMED_OUT, NextAttempt(3, "0", 64.0), failing=True)


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CRASHED])
def test_a_before_that_ended_by_itself_is_thawed_once(outcome: Outcome) -> None:
    assert Story().before(1, 2, outcome).after(3, 4).stands().due is None


@pytest.mark.parametrize("boot", [BOOT, "another"])
def test_a_lost_journal_may_mean_anything_so_it_is_thawed_with_0(boot: str) -> None:
    assert standing(RECORD, None, boot) == Standing(
        Outcome.INTERRUPTED, NextAttempt(1, "0", 0.0), failing=True
    )


def test_after_a_reboot_it_is_thawed_with_0_and_once_more() -> None:
    story = Story().after(5, 6)
    assert story.stands(boot="another") == Standing(Outcome.INTERRUPTED, NextAttempt(2, "0", 35.0))

    assert story.after(35, 36).stands(boot="another") == Standing(Outcome.INTERRUPTED)


def test_where_there_is_no_after_nothing_is_due_whatever_happened() -> None:
    without = replace(RECORD, after=None)

    assert Story().before(1).stands(without) == Standing(Outcome.INTERRUPTED)
    assert standing(without, None, BOOT).due is None


def test_the_pauses_are_those_that_were_promised() -> None:
    assert thaw.RETRY_SECONDS == (1, 2, 5, 10, 30, 60)
