"""The parts of the bench, by their letters, each measured in the full size or in a quick one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from tests.bench import crowd, flood, memory, punctual, quiet, rounds, scale
from tests.bench.history.sizes import FULL as WHOLE_HISTORY
from tests.bench.history.sizes import SMALL as SMALL_HISTORY
from tests.bench.history.sizes import Size as HistorySize
from tests.bench.remote import gates, losses, over_ssm, steps
from tests.bench.remote import holds as remote_holds


@dataclass(slots=True)
class Results:
    """The measurements; None for parts that were not requested."""

    holds: rounds.Measured | None = None
    crowded: crowd.Measured | None = None
    flooded: flood.Measured | None = None
    followed: quiet.Following | None = None
    weighed: memory.Measured | None = None
    ticked: scale.Measured | None = None
    scaled: scale.Measured | None = None
    held_there: remote_holds.Measured | None = None
    stepped: steps.Measured | None = None
    lost: losses.Measured | None = None
    sent: over_ssm.Measured | None = None
    stood: gates.Measured | None = None
    begun: punctual.Measured | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    rounds: rounds.Size
    crowd: crowd.Size
    flood: flood.Size
    following_runs: int
    windows: int
    ticks: int
    history: HistorySize
    looks: int
    holds_there: remote_holds.Size
    steps: steps.Size
    losses: losses.Size
    ssm_windows: int
    punctual_policies: int


FULL = Sizes(
    rounds=rounds.Size(turns=80, aws_cli=12, many=12),
    crowd=crowd.Size(turns=80, waiting=90, moving=10),
    flood=flood.Size(policies=1000, scripts=6, pending_seconds=5),
    following_runs=250,
    windows=10,
    ticks=200,
    history=WHOLE_HISTORY,
    looks=40,
    holds_there=remote_holds.Size(turns=60, cold=10),
    steps=steps.Size(turns=40, cold=10, ten=20, hundred=3),
    losses=losses.Size(kills=40, alone=20),
    ssm_windows=20,
    punctual_policies=200,
)
QUICK = Sizes(
    rounds=rounds.Size(turns=6, aws_cli=2, many=2),
    crowd=crowd.Size(turns=5, waiting=10, moving=3),
    flood=flood.Size(policies=20, scripts=2, pending_seconds=0.1),
    following_runs=50,
    windows=3,
    ticks=10,
    history=SMALL_HISTORY,
    looks=3,
    holds_there=remote_holds.Size(turns=4, cold=2),
    steps=steps.Size(turns=4, cold=2, ten=2, hundred=2),
    losses=losses.Size(kills=3, alone=4),
    ssm_windows=3,
    punctual_policies=20,
)
LETTERS = "abcdefghijklmn"


def measure(letters: Collection[str], sizes: Sizes) -> Results:
    """Measure these parts one after the other. (a) and (b) are one; (c) includes (a), as they are compared."""
    results = Results()
    parts: Mapping[str, Callable[[], None]] = {
        "abc": lambda: setattr(results, "holds", rounds.measure(sizes.rounds)),
        "c": lambda: setattr(results, "crowded", crowd.measure(sizes.crowd)),
        "d": lambda: setattr(results, "flooded", flood.measure(sizes.flood)),
        "e": lambda: setattr(results, "followed", quiet.follow(sizes.following_runs)),
        "f": lambda: setattr(results, "weighed", memory.measure(sizes.windows)),
        "gh": lambda: _scale(results, letters, sizes),
        "i": lambda: setattr(results, "held_there", remote_holds.measure(sizes.holds_there)),
        "j": lambda: setattr(results, "stepped", steps.measure(sizes.steps)),
        "k": lambda: setattr(results, "lost", losses.measure(sizes.losses)),
        "l": lambda: setattr(results, "sent", over_ssm.measure(sizes.ssm_windows)),
        "m": lambda: setattr(results, "stood", gates.measure()),
        "n": lambda: setattr(results, "begun", punctual.measure(sizes.punctual_policies)),
    }
    for needed_by, part in parts.items():
        if set(needed_by) & set(letters):
            part()
    return results


def _scale(results: Results, letters: Collection[str], sizes: Sizes) -> None:
    """Measure (g), (h) or both in one history."""
    ticks = sizes.ticks if "g" in letters else 0
    found = scale.measure(sizes.history, ticks, sizes.looks if "h" in letters else 0)
    results.ticked = found if "g" in letters else None
    results.scaled = found if "h" in letters else None
