"""A soak that never was: what one leaves in which nothing went wrong."""

from collections.abc import Callable

from tests.system.soak import faults
from tests.system.soak.estate import Mark
from tests.system.soak.evidence import Evidence, Made, Run, Snapshot
from tests.system.soak.judge_growth import LONG
from tests.system.soak.striking import Strike
from tests.system.soak.watching import Sample, Stretch

T0 = 1_800_000_000.0  # a whole minute
POLICIES = ("one", "two")


def run_of(policy: str, due: float) -> Run:
    made = [Snapshot(f"snap-{policy}-{due:.0f}-{n}", "completed", "application") for n in "ab"]
    return Run(
        id=f"{policy}-{due:.0f}",
        policy=policy,
        state="succeeded",
        consistency="application",
        reason="",
        scheduled_for=due,
        created_at=due + 0.5,
        started_at=due + 1,
        ended_at=due + 30,
        thaw_by="worker",
        phases=dict.fromkeys(("before", "after", "complete"), "succeeded"),
        snapshots=made,
    )


def marks_of(run: Run) -> list[Mark]:
    found = []
    for number, (phase, argument) in enumerate(
        (("before", "-"), ("after", "1"), ("complete", "1"))
    ):
        at = run.scheduled_for + 2 + 5 * number
        found.append(Mark(phase, "start", argument, at, 1, number))
        found.append(Mark(phase, "end", argument, at + 3, 1, number))
    return found


def made_of(run: Run) -> list[Made]:
    tags = {"n2wbackup:state": run.state, "n2wbackup:consistency": run.consistency}
    return [Made(one.id, f"set-{run.id}", one.state, dict(tags)) for one in run.snapshots]


def evidence() -> Evidence:
    """Return what a soak leaves in which nothing went wrong."""
    runs = [run_of(policy, T0 + 60 * n) for policy in POLICIES for n in range(2)]
    return Evidence(
        due=(T0, T0 + 60),
        policies=POLICIES,
        runs=runs,
        marks={run.id: marks_of(run) for run in runs},
        made={run.id: made_of(run) for run in runs},
        strikes=[],
        followed=(T0, T0 + 600),
        limits=LONG,
        tables={"policies_run": (0, 4), "policies_windowlease": (0, 0)},
    )


def struck(name: str, at: float) -> Strike:
    return Strike(faults.BY_NAME[name], at, at + 1, 1, at)


def lived(sample: Callable[[int], Sample], seconds: int = 600) -> Stretch:
    return Stretch("web", 1, "1", [sample(n) for n in range(0, seconds, 5)])
