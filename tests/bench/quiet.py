"""(e) and (g): what the server does while nothing new is due, in a database of its own and without AWS."""

from dataclasses import dataclass, field

from tests.bench.figures import Polls
from tests.bench.served import serving

EACH = 4
OWNER, POLICY = "bench", "model"


@dataclass(slots=True)
class Following:
    """An hour of `rounds` polls with `runs` waiting runs. `made`: the polls that asked for something."""

    runs: int
    rounds: int = 0
    made: Polls = field(default_factory=lambda: Polls([]))

    @property
    def snapshots(self) -> int:
        """Return how many snapshots were pending."""
        return self.runs * EACH

    @property
    def naive_calls(self) -> int:
        """Return how many calls a poll of each run would make at the same pace."""
        return self.rounds * self.runs


@dataclass(slots=True)
class Ticking:
    """How long ticks took, in seconds, with so many policies."""

    policies: int
    seconds: list[float] = field(default_factory=list)


def follow(runs: int) -> Following:
    """Follow the pending snapshots of so many runs for an hour, on a clock that is turned by hand."""
    measured = Following(runs)
    with serving(pending_seconds=1) as served:
        served.enter(OWNER, [POLICY], 1)
        told = served.order("follow", policy=POLICY, runs=runs, each=EACH)
    measured.rounds = told["rounds"]
    measured.made = Polls([(asked, calls) for asked, calls in told["polls"]])
    return measured


def tick(policies: int, turns: int) -> Ticking:
    """Measure ticks that find nothing due."""
    with serving(pending_seconds=1) as served:
        served.enter(OWNER, [POLICY], 1)
        told = served.order("tick", policy=POLICY, policies=policies, turns=turns)
    return Ticking(policies, told["seconds"])
