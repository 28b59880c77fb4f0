"""What two servers did, judged: nothing stays frozen, nothing is done twice, nothing that is said is untrue."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.system.product import ENDS
from tests.system.servers.pair import VOLUMES, Pair

_RUNS = """
    SELECT id, policy_name, state, consistency, reason, thaw_by, tags_due, server FROM policies_run
"""
_PHASES = "SELECT run_id, phase, outcome FROM policies_phaseresult WHERE attempt = 1"
_SNAPSHOTS = """
    SELECT t.run_id, s.snapshot_id, s.state, t.consistency FROM policies_runsnapshot s
    JOIN policies_runtarget t ON t.id = s.target_id
"""
_EVENTS = "SELECT text FROM policies_runevent WHERE run_id = ? ORDER BY at, id"
_DOUBLE = """
    SELECT policy_name, scheduled_for FROM policies_run GROUP BY policy_name, scheduled_for, attempt
    HAVING count(*) > 1
"""


@dataclass
class Run:
    """A run as the rows have it, with the marks of its scripts and its snapshots in AWS."""

    id: str
    policy: str
    state: str
    consistency: str
    reason: str
    thaw_by: str
    tags_due: bool
    server: str
    phases: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, tuple[str, str]] = field(default_factory=dict)  # state, consistency
    marks: list[tuple[str, str, str]] = field(default_factory=list)  # phase, moment, argument
    made: dict[str, Any] = field(default_factory=dict)  # in AWS

    def arguments(self, phase: str) -> list[str]:
        """Return what the phase's script got, each time it was started."""
        return [given for one, moment, given in self.marks if (one, moment) == (phase, "start")]

    def thaws(self) -> list[str]:
        """Return what after got behind the start of before.

        An earlier one thawed a window that was never opened: a server that lost its memory cannot know.
        """
        steps = [(one, given) for one, moment, given in self.marks if moment == "start"]
        first = next((n for n, (one, _) in enumerate(steps) if one == "before"), 0)
        return [given for one, given in steps[first:] if one == "after"]

    def __str__(self) -> str:
        return f"run {self.id} of {self.policy} ({self.state}, {self.consistency}, {self.reason!r})"


@dataclass
class Judgement:
    """The sentences of each kind; none is what is promised."""

    ends: Counter[str]
    frozen: list[str]
    doubled: list[str]
    untrue: list[str]
    not_whole: list[str]  # runs that did not succeed, which is wrong only if nothing struck
    failed: list[str]  # with their histories: somebody may want to know why

    @property
    def line(self) -> str:
        """Return the numbers."""
        ends = ", ".join(f"{count} {state}" for state, count in sorted(self.ends.items()))
        return f"{ends}; frozen {len(self.frozen)}, doubled {len(self.doubled)}, untrue {len(self.untrue)}"


def judge(pair: Pair) -> Judgement:
    """Judge every run once all have ended."""
    runs = list(_runs(pair).values())
    return Judgement(
        ends=Counter(run.state for run in runs),
        frozen=sorted(path.name for path in pair.frozen.iterdir()),
        doubled=[*_rows_doubled(pair), *(s for run in runs for s in _doubled(run))],
        untrue=[f"{run}: {s}" for run in runs for s in _untrue(run)],
        not_whole=[str(run) for run in runs if run.state != "succeeded"],
        failed=[_history(pair, run) for run in runs if run.state == "failed"],
    )


def _runs(pair: Pair) -> dict[str, Run]:
    server = pair.servers[0]
    found = {str(row[0]): Run(str(row[0]), *row[1:]) for row in server.query(_RUNS)}
    for key, phase, outcome in server.query(_PHASES):
        found[str(key)].phases[phase] = outcome
    for key, snapshot, state, worth in server.query(_SNAPSHOTS):
        found[str(key)].snapshots[snapshot] = (state, worth)
    for path in pair.marks.iterdir():
        for line in path.read_text().splitlines():
            run, phase, moment, argument, _ = line.split(" ")
            found[run].marks.append((phase, moment, argument))
    for one in pair.aws.snapshots():
        if one.snapshot_id in pair.known:
            continue
        found[one.tags["n2wbackup:run"]].made[one.snapshot_id] = one
    return found


def _history(pair: Pair, run: Run) -> str:
    events = [text for (text,) in pair.servers[0].query(_EVENTS, run.id)]
    return f"{run}: {'; '.join(events)}; {run.marks}"


def _rows_doubled(pair: Pair) -> Iterator[str]:
    for policy, at in pair.servers[0].query(_DOUBLE):
        yield f"{policy}: two runs for {at}"


def _doubled(run: Run) -> Iterator[str]:
    """before, fire and complete happen once at most."""
    starts = Counter(phase for phase, moment, _ in run.marks if moment == "start")
    for phase in ("before", "complete"):
        if starts[phase] > 1:
            yield f"{run}: {phase} ran {starts[phase]} times"
    volumes = Counter(one.volume_id for one in run.made.values())
    if any(count > 1 for count in volumes.values()):
        yield f"{run}: fired more than once: {dict(volumes)}"


def _untrue(run: Run) -> Iterator[str]:
    """What the run says of itself must be so."""
    if run.state not in ENDS:
        yield "that is no end"
        return
    if run.state != "succeeded" and not run.reason:
        yield "no reason is given"
    yield from _untrue_phases(run, {(phase, moment) for phase, moment, _ in run.marks})
    yield from _untrue_worth(run)
    yield from _untrue_in_aws(run)


def _untrue_phases(run: Run, done: set[tuple[str, str]]) -> Iterator[str]:
    if ("before", "start") in done and ("after", "end") not in done:
        yield "before ran, and after did not come to its end"
    for phase in ("before", "after", "complete"):
        outcome = run.phases.get(phase, "not_run")
        if outcome == "succeeded" and (phase, "end") not in done:
            yield f"{phase} is said to have succeeded, and did not come to its end"
        if outcome in {"not_run", "missing"} and (phase, "start") in done:
            yield f"{phase} is said not to have been run, and was"


def _untrue_worth(run: Run) -> Iterator[str]:
    completed = sum(state == "completed" for state, _ in run.snapshots.values())
    if run.state == "succeeded" and completed != VOLUMES:
        yield f"{completed} snapshots of {VOLUMES} volumes"
    if run.state != "cancelled" and (run.state == "failed") != (completed == 0):
        yield f"{completed} usable snapshots"
    is_whole = run.consistency == "application" and completed == VOLUMES
    if "1" in run.arguments("complete") and not is_whole:
        yield "complete was told that all was well"
    afters = run.thaws()
    if run.consistency == "application" and (afters[:1] != ["1"] or run.thaw_by != "worker"):
        yield f"after got {afters}, thawed by {run.thaw_by}"


def _untrue_in_aws(run: Run) -> Iterator[str]:
    if set(run.made) != set(run.snapshots):
        yield f"AWS has {sorted(run.made)}, the rows have {sorted(run.snapshots)}"
        return
    if run.tags_due:
        yield "its tags were never written"
    for key, (state, worth) in run.snapshots.items():
        there = run.made[key]
        tags = there.tags
        said = (there.state, tags.get("n2wbackup:state"), tags.get("n2wbackup:consistency"))
        if said != (state, run.state, worth):
            yield f"AWS says {said} of {key}, the rows say {(state, run.state, worth)}"
        if tags.get("n2wbackup:server") != run.server:
            yield f"{key} has the tag of another server than {run.server}"
