"""What an all-seeing witness of one run would say."""

from dataclasses import dataclass, field

from policies.domain.verdict import Target
from scripts_admin.domain import outcomes

BEFORE_SECONDS = 30.0
MAX_FREEZE_SECONDS = 60.0


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

    before_started_at: float | None = None
    before_over_at: float | None = None
    before_cut: bool = False
    before_exit: str = outcomes.MISSING
    afters: list[tuple[float, str, str]] = field(default_factory=list)  # start, argument, outcome
    complete_arguments: list[str] = field(default_factory=list)
    given_up: bool = False
    confirmed: bool = False
    reboots: int = 0
