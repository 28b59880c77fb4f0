"""How the simulated AWS behaves: everything that may be changed while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict


class OptionChanges(TypedDict, total=False):
    """Options by name, for those who change some of them; see `Options`."""

    pending_seconds: float
    eventual_consistency_seconds: float
    latency_seconds: Mapping[str, float]
    copy_moment: float
    copy_backing: bool
    rate_buckets: Mapping[str, tuple[float, float]]
    per_volume_interval_seconds: float
    pending_per_volume: int
    regions_off: Sequence[str]
    region_off_error: str
    role_seconds: float
    ssm_delivery_seconds: float
    ssm_unknown_seconds: float


def _buckets() -> dict[str, tuple[float, float]]:
    return {"CreateSnapshots": (100, 5), "CreateSnapshot": (100, 5)}


@dataclass(frozen=True, slots=True)
class Options:
    """One consistent set of options; replaced as a whole.

    - `pending_seconds`: how long a snapshot is pending; taken when the snapshot is made.
    - `eventual_consistency_seconds`: a new snapshot is not listed for so long.
    - `latency_seconds`: per action, how long an answer takes beyond its own work.
    - `copy_moment`: the part of that latency (0..1) that has passed when the deed is done.
    - `copy_backing`: whether snapshots copy the backing of their volumes.
    - `rate_buckets`: per action (size, refilled per second), for each region; none: no limit.
    - `per_volume_interval_seconds`: least time between two snapshots of a volume; 0: no limit.
    - `pending_per_volume`: pending snapshots of a volume (at most 1 on st1 and sc1); 0: no limit.
    - `regions_off`: regions that the account has not switched on, and `region_off_error`, what
      they answer: "AuthFailure" (an opt-in region) or "OptInRequired" (a service not subscribed).
    - `role_seconds`: how long an assumed role's keys live, whatever was asked for; 0: as asked for.
    - `ssm_delivery_seconds`: from SendCommand until the script starts.
    - `ssm_unknown_seconds`: from SendCommand until GetCommandInvocation knows of it.
    """

    pending_seconds: float = 2.0
    eventual_consistency_seconds: float = 0.0
    latency_seconds: Mapping[str, float] = field(default_factory=dict)
    copy_moment: float = 1.0
    copy_backing: bool = True
    rate_buckets: Mapping[str, tuple[float, float]] = field(default_factory=_buckets)
    per_volume_interval_seconds: float = 15.0
    pending_per_volume: int = 5
    regions_off: Sequence[str] = ()
    region_off_error: str = "AuthFailure"
    role_seconds: float = 0.0
    ssm_delivery_seconds: float = 0.05
    ssm_unknown_seconds: float = 0.2

    def changed(self, changes: Mapping[str, Any]) -> "Options":
        """Return the options with the changes; ValueError, naming them, for what is no option."""
        unknown = sorted(set(changes) - {each.name for each in fields(self)})
        if unknown:
            msg = f"The simulated AWS has no option {', '.join(unknown)}."
            raise ValueError(msg)
        return replace(self, **changes)
