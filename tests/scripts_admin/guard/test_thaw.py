"""Who thaws, when, with which argument: the cases of a window that nobody keeps any more."""

from dataclasses import replace
from typing import Any

import pytest

from scripts_admin.domain import outcomes
from scripts_admin.guard import thaw
from scripts_admin.guard.journal import Journal
from scripts_admin.guard.spool import Command, Record
from scripts_admin.guard.thaw import Due, Standing, standing

BOOT = "boot"
RECORD = Record(
    run="run",
    boot=BOOT,
    folder="",
    environment={},
    max_freeze_seconds=60.0,
    thaw_retry_seconds=3600.0,
    before=Command("before", ("before",), 30.0),
    after=Command("after", ("after",), 20.0),
)


class Story:
    """A journal, told in a few words."""

    def __init__(self) -> None:
        self.journal = Journal(opened=True)

    def _take(self, kind: str, boot: float, **values: Any) -> None:
        self.journal.take({"event": kind, "at": boot, "boot": boot} | values)

    def before(self, start: float, end: float | None = None, outcome: str = "succeeded") -> "Story":
        return self._script("before", 1, start, end, outcome)

    def after(self, start: float, end: float | None = None, outcome: str = "succeeded") -> "Story":
        return self._script("after", len(self.journal.afters) + 1, start, end, outcome)

    def _script(
        self, phase: str, attempt: int, start: float, end: float | None, outcome: str
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
    assert standing(RECORD, Journal(), BOOT) == Standing(outcomes.NOT_RUN)


def test_a_window_that_was_thawed_well_is_over() -> None:
    assert Story().before(1, 2).after(3, 4).stands() == Standing("succeeded")


@pytest.mark.parametrize(
    ("outcome", "argument"),
    [("succeeded", "1"), ("failed", "0"), ("crashed", "0"), ("timed_out", "0")],
)
def test_without_an_after_it_is_due_at_once_with_what_before_was(
    outcome: str, argument: str
) -> None:
    assert Story().before(1, 2, outcome).stands() == Standing(
        outcome, Due(1, argument, 0.0), failing=True
    )


def test_a_before_whose_end_nobody_saw_counts_as_0() -> None:
    assert Story().before(1).stands() == Standing(
        outcomes.INTERRUPTED, Due(1, "0", 0.0), failing=True
    )


def test_a_missing_before_counts_as_1_and_one_that_could_not_run_as_0() -> None:
    without = replace(RECORD, before=None)

    assert Story().stands(without).due == Due(1, "1", 0.0)
    assert Story().stands(replace(without, not_run={"before": "ambiguous"})).due == Due(1, "0", 0.0)


@pytest.mark.parametrize(
    ("failures", "pause"),
    [(1, 1), (2, 2), (3, 5), (4, 10), (5, 30), (6, 60), (7, 60), (20, 60)],
)
@pytest.mark.parametrize("outcome", ["failed", "timed_out", "crashed"])
def test_a_failed_after_is_tried_again_after_longer_and_longer(
    failures: int, pause: int, outcome: str
) -> None:
    story, end = Story().before(1, 2), 10.0
    for number in range(failures):
        end = 10.0 + number
        story.after(end - 1, end, outcome)

    assert story.stands() == Standing(
        "succeeded", Due(failures + 1, "1", end + pause), failing=True
    )


def test_after_its_time_it_is_given_up_counted_from_the_first_attempt() -> None:
    story = Story().before(1, 2).after(3, 10, "failed").after(3600, 3608, "failed")
    assert story.stands().due == Due(3, "1", 3610.0)

    story.after(3610, 3610.5, "failed")

    assert story.stands() == Standing("succeeded", given_up=True, failing=True)


def test_an_after_that_succeeds_late_ends_it() -> None:
    story = Story().before(1, 2).after(3, 10, "failed").after(11, 12)

    assert story.stands() == Standing("succeeded")


def test_an_after_whose_guard_died_is_due_again_at_once() -> None:
    assert Story().before(1, 2).after(3).stands() == Standing(
        "succeeded", Due(2, "1", 0.0), failing=True
    )


@pytest.mark.parametrize("outcome", ["timed_out", "interrupted"])
def test_a_before_that_was_cut_short_is_thawed_once_more_when_its_time_has_passed_again(
    outcome: str,
) -> None:
    story = Story().before(1, 31, outcome).after(32, 33)
    assert story.stands() == Standing(outcome, Due(2, "0", 61.0))

    story.after(61, 62)

    assert story.stands() == Standing(outcome)


def test_a_before_whose_guard_died_is_counted_from_the_first_after() -> None:
    story = Story().before(1).after(40, 41)

    assert story.stands() == Standing(outcomes.INTERRUPTED, Due(2, "0", 70.0))
    assert story.after(70, 71).stands() == Standing(outcomes.INTERRUPTED)


def test_a_repetition_that_came_too_early_does_not_count() -> None:
    story = Story().before(1, 31, "timed_out").after(32, 33, "failed").after(34, 35)

    assert story.stands() == Standing("timed_out", Due(3, "0", 61.0))


def test_a_repetition_that_fails_is_tried_again_like_any_other() -> None:
    story = Story().before(1, 31, "timed_out").after(32, 33).after(61, 62, "failed")

    assert story.stands() == Standing("timed_out", Due(3, "0", 64.0), failing=True)


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "crashed"])
def test_a_before_that_ended_by_itself_is_thawed_once(outcome: str) -> None:
    assert Story().before(1, 2, outcome).after(3, 4).stands().due is None


@pytest.mark.parametrize("boot", [BOOT, "another"])
def test_a_lost_journal_may_mean_anything_so_it_is_thawed_with_0(boot: str) -> None:
    assert standing(RECORD, None, boot) == Standing(
        outcomes.INTERRUPTED, Due(1, "0", 0.0), failing=True
    )


def test_after_a_reboot_it_is_thawed_with_0_and_once_more() -> None:
    story = Story().after(5, 6)
    assert story.stands(boot="another") == Standing(outcomes.INTERRUPTED, Due(2, "0", 35.0))

    assert story.after(35, 36).stands(boot="another") == Standing(outcomes.INTERRUPTED)


def test_where_there_is_no_after_nothing_is_due_whatever_happened() -> None:
    without = replace(RECORD, after=None)

    assert Story().before(1).stands(without) == Standing(outcomes.INTERRUPTED)
    assert standing(without, None, BOOT).due is None


def test_the_pauses_are_those_that_were_promised() -> None:
    assert thaw.RETRY_SECONDS == (1, 2, 5, 10, 30, 60)
