"""All attempts of a run's scripts, with the end of what they printed."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from policies.models import OutputChunk, PhaseResult, Run
from policies.selectors import outputs
from scripts_admin.domain.phases import Outcome, Phase

_SHORT = 12


class Printed(NamedTuple):
    """One stream of an attempt: its size, and its last lines where the page has them."""

    stream: str
    size: int
    end: str = ""


class AttemptRow(NamedTuple):
    """One attempt of a script; a phase without any has a row, too."""

    phase: str
    attempt: int = 1
    outcome: str = Outcome.NOT_RUN
    exit_code: int | None = None
    argument: str = ""
    script: str = ""
    script_sha256: str = ""
    script_doubt: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    problem: str = ""  # why the script cannot run, known before the window
    printed: tuple[Printed, ...] = ()

    @property
    def short(self) -> str:
        """Return the beginning of its text's hash."""
        return self.script_sha256[:_SHORT]

    @property
    def seconds(self) -> float | None:
        """Return how long it ran, as far as that is known."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


_COLUMNS = (
    "phase",
    "attempt",
    "outcome",
    "exit_code",
    "argument",
    "script",
    "script_sha256",
    "script_doubt",
)
_TIMES = ("started_at", "ended_at")


def of(run: Run) -> tuple[AttemptRow, ...]:
    """Return the attempts in the order of the phases; the run's results must be prefetched. Makes one query."""
    by_phase: dict[str, list[PhaseResult]] = {phase: [] for phase in Phase}
    for result in sorted(run.phases.all(), key=lambda each: each.attempt):
        by_phase.setdefault(result.phase, []).append(result)
    ends = outputs.ends(_telling(by_phase.values()))
    rows = list[AttemptRow]()
    for phase, results in by_phase.items():
        problem = run.script_problems.get(phase, "")
        rows += [_row(result, problem, ends) for result in results]
        if not results:
            rows.append(AttemptRow(phase, problem=problem))
    return tuple(rows)


def _telling(every: Iterable[list[PhaseResult]]) -> list[PhaseResult]:
    """Return the first and the last attempt of each phase: a thaw may have been tried a hundred times."""
    return [result for results in every for result in {*results[:1], *results[-1:]}]


def _row(result: PhaseResult, problem: str, ends: Mapping[tuple[int, str], str]) -> AttemptRow:
    columns = {name: getattr(result, name) for name in (*_COLUMNS, *_TIMES)}
    printed = tuple(
        Printed(stream, size, ends.get((result.pk, stream), ""))
        for stream in OutputChunk.Stream.values
        if (size := getattr(result, f"{stream}_bytes"))
    )
    return AttemptRow(**columns, problem=problem, printed=printed)
