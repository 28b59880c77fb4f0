"""Faults, and their required result at each moment. The table itself is data, one file per subject."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from tests.system.faults.bed import Bed

if TYPE_CHECKING:
    from tests.system.faults.judge import Finding


@dataclass(frozen=True)
class Expected:
    """What the contract demands of a run that was struck. `a|b`: either.

    `argument`: of the first after that starts, or is still at work, once the fault has struck.
    `complete`: of complete; "" where it must not be said. `reason`: stands in the run's reason.
    """

    argument: str
    state: str
    consistency: str
    complete: str = "0"
    reason: str = ""
    fires: int = 1  # CreateSnapshots calls that AWS carried out
    befores: int = 1  # at most so many
    afters: int = 1  # at least so many
    completes: int = 1
    unknown_answer: bool = False  # whether AWS made snapshots is settled only after five minutes
    may_be_frozen: bool = False  # the policy is marked so in the end


def ends(state: str, reason: str = "") -> Expected:
    """Return what is demanded of a recovery, a proof or a deletion. `a|b`: either."""
    return Expected("", state, "", reason=reason)


FINE = Expected("1", "succeeded", "application", "1")
Strike = Callable[[Bed, str], None]


def nothing(_bed: Bed, _run: str = "") -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Fault:
    """One fault. `strike` in the moment, `recover` once the moment was let go.

    `promised`: seconds from the strike to the thaw; a busy machine may take three times that. None: no
    figure is promised, only that it comes. `bed`: which kind of server it needs. `spares_server`: it can
    be used for another run afterwards. `quick`: the moment that `make test` strikes at; without
    `is_quick`, only `make faults` strikes. `lasts`: seconds that a
    cell takes at least; what lasts longest is begun first.
    """

    name: str
    at: Mapping[str, Expected]
    strike: Strike = nothing
    recover: Strike = nothing
    prepare: Strike = nothing  # before the run is started; gets the moment in place of a run
    promised: float | None = None
    bed: str = "plain"
    spares_server: bool = True
    quick: str = ""
    is_quick: bool = True
    lasts: float = 0.0
    # The fault lies in a script or in AWS itself: the moment is where it befalls the run, nobody waits for it.
    by_itself: bool = False
    # A before that stands at its gate is left there: the server has to end it.
    ends_before: bool = False
    # So is the server's own one, which stands in front of that on an instance.
    ends_armed: bool = False
    policy: Mapping[str, object] = field(default_factory=dict)
    # What looks at the run in place of the judge of one instance.
    judge: "Callable[[Bed, Fault, str, str], Finding] | None" = None
    # What takes something else than a run through it, and judges that: a recovery, a proof, a deletion.
    take: "Callable[[Bed, Fault, str], Finding] | None" = None

    def leaves_closed(self, moment: str) -> bool:
        """Tell whether what waits in this moment is never let go."""
        return {"before": self.ends_before, "armed": self.ends_armed}.get(moment, False)

    @property
    def quick_moment(self) -> str:
        """Return the moment that `make test` strikes at."""
        return self.quick or next(iter(self.at))


class Judged(Protocol):
    """What was struck, and judges itself: a recovery, a proof, a deletion."""

    def judged(self, fault: Fault, moment: str) -> "Finding": ...


def struck(
    name: str,
    at: Mapping[str, Expected],
    way: Callable[[Bed, str], Judged],
    *,
    bed: str,
    quick: str = "",
    lasts: float = 0.0,
    spares_server: bool = True,
    policy: Mapping[str, object] = MappingProxyType({}),
) -> Fault:
    """Return a fault of something else than a run; `way` strikes it in the moment."""

    def take(bed: Bed, fault: Fault, moment: str) -> "Finding":
        return way(bed, moment).judged(fault, moment)

    return Fault(
        name,
        at,
        take=take,
        bed=bed,
        is_quick=bool(quick),
        quick=quick,
        lasts=lasts,
        spares_server=spares_server,
        policy=policy,
    )
