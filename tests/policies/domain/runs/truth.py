"""What an all-seeing witness of one run would say."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from policies.domain.runs.verdict import Target
from scripts_admin.domain.phases import Outcome

BEFORE_SECONDS = 30.0
MAX_FREEZE_SECONDS = 60.0


class Fate(TypedDict):
    """What becomes of a call: whether its answer returns, and whether AWS makes nothing (yet)."""

    returns: bool
    refused: bool


WELL: Fate = {"returns": True, "refused": False}


@dataclass
class Call:
    """One call of CreateSnapshots. `made_at`: when the snapshots came to be, whoever heard of it."""

    made_at: float | None = None
    returned_at: float | None = None
    refused: bool = False
    lost: bool = False
    completed: bool | None = None
    row: Target | None = None  # as the rows have it; None until entered
    unknown: bool = False


@dataclass
class Truth:
    """What really happened."""

    has_before: bool
    has_after: bool
    before_started_at: float | None = None
    before_over_at: float | None = None
    before_cut: bool = False
    before_exit: str = Outcome.MISSING
    afters: list[tuple[float, str, str]] = field(default_factory=list)  # start, argument, outcome
    complete_arguments: list[str] = field(default_factory=list)
    thawed_by: str = ""  # who began to thaw, where a guard did
    given_up: bool = False
    confirmed: bool = False
    reboots: int = 0

    def check_thawed(self) -> None:
        """Assert that what before may have frozen was thawed when the run ended."""
        if self.before_started_at is None or not self.has_after:
            return
        assert self.afters, "before started and after did not"
        over = self.before_over_at
        assert over is not None, "before outlives its run"
        assert self.afters[0][0] >= over, "after ran before before was dead"
        if self.given_up or self.confirmed:
            return
        assert self.afters[-1][2] == Outcome.SUCCEEDED, "the last after did not succeed"
        if self.before_cut:
            last = self.afters[-1][0]
            assert last >= over + BEFORE_SECONDS, "nothing thaws what before may freeze late"

    def check_nothing_failed(self, calls: Sequence[Call]) -> None:
        """Assert what complete 1 promises: it may delete logs."""
        assert self.thawed_by == "worker", "complete 1 though nobody asked for the thaw"
        if self.has_before:
            assert self.before_exit == Outcome.SUCCEEDED, "complete 1 though before failed"
        if self.has_after:
            assert self.afters[0][2] == Outcome.SUCCEEDED, "complete 1 though after failed"
            assert self.afters[0][1] == "1", "complete 1 though after was told of a failure"
        for call in calls:
            assert call.made_at is not None, "complete 1 without a snapshot"
            assert call.completed, "complete 1 with a failed snapshot"
            if self.has_before and self.afters:
                assert call.made_at <= self.afters[0][0], "complete 1 with a late snapshot"

    def check_nothing_late(self, calls: Sequence[Call]) -> None:
        """Assert what `application` promises: all of it lay between before and after."""
        assert self.thawed_by == "worker", "application though nobody asked for the thaw"
        assert self.before_exit == Outcome.SUCCEEDED, "application though before failed"
        assert self.before_over_at is not None, "application beside before"
        assert self.afters, "application without an after"
        begun, _, first = self.afters[0]
        assert first == Outcome.SUCCEEDED, "application though after failed"
        for call in calls:
            assert call.made_at is not None, "application without a snapshot"
            assert call.completed, "application with a failed snapshot"
            assert call.returned_at is not None, "application though an answer was lost"
            assert self.before_over_at <= call.made_at, "application before the freeze"
            assert call.returned_at <= begun, "application though a call returned late"
