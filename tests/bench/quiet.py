"""(e) The calls that follow pending snapshots for an hour, in a separate database and without AWS."""

from dataclasses import dataclass, field

from tests.bench.figures import Polls
from tests.bench.served import serving

EACH = 4
OWNER, POLICY = "bench", "model"


@dataclass(slots=True)
class Following:
    """An hour of `rounds` polls with `runs` waiting runs. `made`: the polls that made calls."""

    runs: int
    rounds: int = 0
    made: Polls = field(default_factory=lambda: Polls([]))

    @property
    def snapshots(self) -> int:
        return self.runs * EACH

    @property
    def naive_calls(self) -> int:
        """Return the number of calls if each run were polled separately at the same pace."""
        return self.rounds * self.runs


def follow(runs: int) -> Following:
    """Follow the pending snapshots of this many runs for an hour, on a clock that the bench sets."""
    measured = Following(runs)
    with serving(pending_seconds=1) as served:
        served.enter(OWNER, [POLICY], 1)
        told = served.order("follow", policy=POLICY, runs=runs, each=EACH)
    measured.rounds = told["rounds"]
    measured.made = Polls([(asked, calls) for asked, calls in told["polls"]])
    return measured
