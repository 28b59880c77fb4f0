"""All attempts of a run's scripts, with the end of what they printed."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from policies.models import OutputChunk, PhaseResult, Run, RunTarget
from policies.selectors import outputs
from scripts_admin.domain import remote
from scripts_admin.domain.phases import FINE, Outcome, Phase
from scripts_admin.domain.remote import Remote, ThawnBy

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
    thaw_by: str = ""  # of after on an instance

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
    "thaw_by",
)
_TIMES = ("started_at", "ended_at")


def of(run: Run) -> tuple[AttemptRow, ...]:
    """Return the attempts in the order of the phases; the run's results must be prefetched. Makes one query."""
    by_phase: dict[str, list[PhaseResult]] = {phase: [] for phase in Phase}
    for result in sorted(run.phases.all(), key=lambda each: each.attempt):
        by_phase.setdefault(result.phase, []).append(result)
    return _rows(by_phase, run.script_problems, outputs.ends(_telling(by_phase.values())))


def _rows(
    by_phase: Mapping[str, list[PhaseResult]],
    problems: Mapping[str, str],
    ends: Mapping[tuple[int, str], str],
) -> tuple[AttemptRow, ...]:
    rows = list[AttemptRow]()
    for phase, results in by_phase.items():
        problem = problems.get(phase, "")
        rows += [_row(result, problem, ends) for result in results]
        if not results:
            rows.append(AttemptRow(phase, problem=problem))
    return tuple(rows)


class OnInstance(NamedTuple):
    """The scripts of one instance. `thaw` says who began its thaw, in words; empty if nobody knows."""

    instance: str
    region: str
    how: str
    consistency: str
    thaw: str
    is_automatic: bool
    thaw_began_at: datetime | None
    thawed_at: datetime | None
    attempts: tuple[AttemptRow, ...]


_THAWN = {
    ThawnBy.WORKER: "as the server asked",
    ThawnBy.EOF: "by itself: the connection ended",
    ThawnBy.DEADLINE: "by itself: its longest freeze was over",
    ThawnBy.SILENCE: "by itself: the server said nothing any more",
    ThawnBy.ORPHAN: "by itself: the process that kept its window there was lost",
}
_MOST_ENDS = 10  # of so many instances all that they printed last is on the page; of more, only of what failed


def on_instances(run: Run) -> tuple[OnInstance, ...]:
    """Return the scripts of each instance; the run must be read as by `runs.whole`. Makes one query."""
    targets = [target for target in run.targets.all() if target.remote]
    by_target = {target.pk: _by_phase(target) for target in targets}
    telling = [each for phases in by_target.values() for each in _telling(phases.values())]
    if len(targets) > _MOST_ENDS:
        telling = [each for each in telling if each.outcome not in FINE]
    ends = outputs.ends(telling)
    return tuple(
        OnInstance(
            target.instance_id,
            target.region,
            str(Remote.of_document(target.remote)),
            target.consistency,
            _THAWN[ThawnBy.of(target.thaw_by)] if target.thaw_by else "",
            target.thaw_by not in {"", ThawnBy.WORKER},
            target.thaw_began_at,
            target.thawed_at,
            _rows(by_target[target.pk], target.script_problems, ends),
        )
        for target in targets
    )


def _by_phase(target: RunTarget) -> dict[str, list[PhaseResult]]:
    by_phase: dict[str, list[PhaseResult]] = {phase: [] for phase in remote.PHASES}
    for result in sorted(target.results.all(), key=lambda each: each.attempt):
        by_phase.setdefault(result.phase, []).append(result)
    return by_phase


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
