"""One judge for every cell: the run's result against the contract."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from n2wbackup.demo.aws import SimulatedSnapshot
from tests.ground import processes
from tests.ground.leeway import LEEWAY
from tests.system.faults.bed import GUARD, Bed
from tests.system.faults.table import Expected, Fault
from tests.system.product import Mark

LEFT_SECONDS = 20.0
FROZEN = "the application is frozen"  # what the page counts


@dataclass
class Finding:
    """A cell's figures, and what is wrong with them: nothing, or the sentences of `wrong`."""

    fault: str
    moment: str
    thawed_seconds: float | None = None
    argument: str = ""
    state: str = ""
    consistency: str = ""
    reason: str = ""
    before: int = 0
    fired: int = 0
    complete: int = 0
    # Of what is no run: resources that it made or deleted, those of them that are one too many, what is left of it.
    stands: int = 0
    twice: int = 0
    left: int = 0
    seconds: float | None = None  # from the strike to the end
    wrong: list[str] = field(default_factory=list)
    left_out: str = ""  # why this machine cannot do it


def judge(bed: Bed, fault: Fault, moment: str, run: str) -> Finding:
    """Look at a run that has ended, and at everything it might have left behind."""
    expected, shown = fault.at[moment], bed.product.show(run)
    marks = bed.product.marks()
    finding = Finding(fault.name, moment)
    if fault.by_itself:
        finding.thawed_seconds, finding.argument = _thaw(marks, _before_is_over(marks), "")
    else:
        finding.thawed_seconds, finding.argument = _thaw(marks, bed.since, moment)
    finding.state, finding.consistency = shown["state"], shown["consistency"]
    finding.reason = shown["reason"]
    finding.before = _starts(marks, "before")
    finding.complete = _starts(marks, "complete")
    finding.fired = len({snapshot.set_id for snapshot in of(bed, run)})
    finding.wrong += _against(finding, expected, marks)
    if bed.overlap.exists():
        finding.wrong.append("after began while before itself still acted")
    finding.wrong += _truths(bed, run, shown)
    finding.wrong += _rows(bed, run, shown)
    finding.wrong += _in_time(fault, finding)
    finding.wrong += _leftovers(bed, run, expected)
    return finding


def of(bed: Bed, run: str) -> list[SimulatedSnapshot]:
    """Return what AWS has of a run."""
    return [s for s in bed.product.aws.snapshots() if s.tags.get("n2wbackup:run") == run]


def _starts(marks: list[Mark], phase: str) -> int:
    return sum((m.phase, m.moment) == (phase, "start") for m in marks)


def _before_is_over(marks: list[Mark]) -> float:
    """Return when before ended, or, where it did not end by itself, when it began."""
    found = [m.at for m in marks if m.phase == "before"]
    return max(found, default=0.0)


def _thaw(marks: list[Mark], since: float, moment: str) -> tuple[float | None, str]:
    """Return how long after the strike after began, and its argument.

    Where after was at work when it struck, its end counts; where it had ended, there is nothing to measure.
    """
    starts = [m for m in marks if (m.phase, m.moment) == ("after", "start")]
    ends = [m for m in marks if (m.phase, m.moment) == ("after", "end")]
    if moment in {"waiting", "complete"}:  # thawed before it struck
        return None, starts[0].argument if starts else ""
    later = [m for m in (ends if moment == "after" else starts) if m.at >= since]
    if not later:
        return None, ""
    return later[0].at - since, later[0].argument


def _against(finding: Finding, expected: Expected, marks: list[Mark]) -> Iterator[str]:
    for name in ("argument", "state", "consistency"):
        found, wanted = getattr(finding, name), getattr(expected, name)
        if found not in wanted.split("|"):
            yield f"{name} is {found!r} and not {wanted!r}"
    if finding.before > expected.befores:
        yield f"before ran {finding.before} times"
    if finding.fired != expected.fires:
        yield f"AWS made {finding.fired} sets of snapshots and not {expected.fires}"
    if finding.complete != expected.completes:
        yield f"complete ran {finding.complete} times"
    arguments = {m.argument for m in marks if m.phase == "complete"}
    if expected.complete and finding.complete and arguments != {expected.complete}:
        yield f"complete got {arguments} and not {expected.complete!r}"
    if expected.reason not in finding.reason:
        yield f"the reason does not say {expected.reason!r}: {finding.reason!r}"
    if finding.state != "succeeded" and not finding.reason:
        yield "no reason is given"
    if _starts(marks, "after") < expected.afters:
        yield f"after ran {_starts(marks, 'after')} times, and {expected.afters} are needed"
    yield from _order(marks)


def _order(marks: list[Mark]) -> Iterator[str]:
    """Never two afters at a time, and none while before still acts."""
    ended = {(m.phase, m.attempt, m.argument): m.at for m in marks if m.moment == "end"}
    starts = [m for m in marks if m.moment == "start"]
    for one in starts:
        end = ended.get((one.phase, one.attempt, one.argument))
        for other in starts:
            if (
                end
                and other.phase == "after"
                and one.phase != "complete"
                and one.at < other.at < end
            ):
                yield f"after {other.attempt} began while {one.phase} {one.attempt} ran"


def _truths(bed: Bed, run: str, shown: dict[str, Any]) -> Iterator[str]:
    """Check that the run's own statements are true."""
    thaw_by = bed.thaw_by(run)
    if shown["consistency"] == "application":
        if thaw_by != "worker":
            yield f"the thaw was automatic ({thaw_by}), and the run is called application"
        if not bed.product.marks("before", "end"):
            yield "before never ran to its end, and the run is called application"
        phases = shown["targets"][0]["phases"] if bed.is_far else shown["phases"]
        if bed.is_far and shown["targets"][0]["thaw_by"] != "worker":
            yield "the instance thawed by itself, and the run is called application"
        for phase in ("before", "after"):
            if phases[phase]["outcome"] != "succeeded":
                yield f"{phase} did not succeed, and the run is called application"
    elif shown["state"] == "succeeded":
        yield "the run is only crash-consistent, and succeeded"
    elif thaw_by not in {"", "worker"} and "automatic" not in shown["reason"]:
        yield f"the reason does not tell that the thaw was automatic: {shown['reason']!r}"


def _rows(bed: Bed, run: str, shown: dict[str, Any]) -> Iterator[str]:
    """The snapshots that it shows must be those that AWS has, as AWS has them."""
    states = {s.snapshot_id: s.state for s in bed.product.aws.snapshots()}
    for snapshot in shown["snapshots"]:
        if snapshot["state"] == "completed" and states.get(snapshot["id"]) != "completed":
            yield f"{snapshot['id']} is called completed and is {states.get(snapshot['id'])}"
    known = {snapshot["id"] for snapshot in shown["snapshots"]}
    for snapshot in of(bed, run):
        if snapshot.snapshot_id not in known:
            yield f"AWS has {snapshot.snapshot_id} of the run, which does not show it"
    if shown["state"] == "succeeded" and len(shown["snapshots"]) != 2:
        yield f"succeeded with {len(shown['snapshots'])} snapshots of 2 volumes"


def _in_time(fault: Fault, finding: Finding) -> Iterator[str]:
    if fault.promised is None or finding.thawed_seconds is None or finding.moment == "preparing":
        return
    if finding.thawed_seconds > LEEWAY * fault.promised:
        yield f"thawed after {finding.thawed_seconds:.2f} s, and {fault.promised} are promised"


def _leftovers(bed: Bed, run: str, expected: Expected) -> Iterator[str]:
    """Everything that a run needs is gone with it."""
    with contextlib.suppress(TimeoutError):
        processes.wait_until(lambda: not list(_left(bed, run)), seconds=LEFT_SECONDS, what="")
    yield from _left(bed, run)
    yield from _tags(bed, run)
    if bed.frozen.exists() != expected.may_be_frozen:
        yield FROZEN if bed.frozen.exists() else "the application is not frozen"
    marked = bed.query("SELECT may_be_frozen_since FROM policies_policy")[0][0] is not None
    if marked != expected.may_be_frozen:
        yield f"the policy is {'' if marked else 'not '}marked as one that may be frozen"


def _tags(bed: Bed, run: str) -> Iterator[str]:
    """Check that the snapshots' tags agree with the run."""
    shown = bed.product.show(run)
    for snapshot in of(bed, run):
        wanted = {"state": shown["state"], "consistency": shown["targets"][0]["consistency"]}
        said = {name: snapshot.tags.get(f"n2wbackup:{name}") for name in wanted}
        if said != wanted:
            yield f"the tags of {snapshot.snapshot_id} say {said} and not {wanted}"


def _command(pid: int) -> str:
    """Return what the process was started as, for whoever reads the finding."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "it has ended since"
    return b" ".join(words)[:80].decode(errors="replace").strip()


def _left(bed: Bed, run: str) -> Iterator[str]:
    if pids := bed.of_run(run):
        named = [f"{pid} ({_command(pid)})" for pid in pids]
        yield f"processes of the run are left: {', '.join(named)}"
    if pids := bed.product.pids(f"{GUARD} {run}"):
        yield f"its guard is left: {pids}"
    if pids := bed.far_sides():
        yield f"processes of the instance's far side are left: {pids}"
    for path in (bed.product.home / "spool" / run, bed.memory(run)):
        if path.exists():
            yield f"{path} is left"
    if bed.query("SELECT id FROM policies_run WHERE tags_due"):
        yield "tags are not written"
    if bed.query("SELECT resource FROM policies_windowlease"):
        yield "a window lease is left"
