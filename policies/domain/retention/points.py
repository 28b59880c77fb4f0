"""Restore points as retention sees them, what holds them, and what was decided about each. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from policies.domain.runs.verdict import Consistency


class HoldKind(StrEnum):
    """Why a hold exists. All but a freezer are made and released by the server itself."""

    FREEZER = "freezer"  # a person keeps the restore point
    RECOVERY = "recovery"
    PROOF = "proof"
    COPY = "copy"
    LOCK = "lock"  # of its snapshots in AWS, by the policy
    AWS = "aws"  # something there that is not ours, such as an AMI: looked at again when the hold is over


class Fate(StrEnum):
    """What becomes of the restore points of a policy that is deleted."""

    KEEP = "keep"
    RULES = "rules"  # each goes when the rules would have let it go
    NOW = "now"


@dataclass(frozen=True, slots=True)
class Point:
    """The snapshots of one run that has ended.

    `targets` says of each target that can be restored from it what its snapshots are worth. Without one, nothing in
    it is usable. `consistency` is the run's: the worst of all its targets, also of those that failed.
    """

    key: str
    at: datetime
    consistency: Consistency
    targets: Mapping[str, Consistency] = field(default_factory=dict)
    proven: bool = False  # an application was started from it, or something else proved it
    ours: bool = True  # its snapshots bear this server's tag
    kept_by: str = ""  # why it stays, whatever the rules say

    @property
    def worth(self) -> tuple[bool, int, datetime, str]:
        """Among the restore points of one period, the one with the greatest worth is kept."""
        return self.proven, _WORTH.get(self.consistency, 0), self.at, self.key


_WORTH = {Consistency.APPLICATION: 2, Consistency.CRASH: 1}


class Hold(NamedTuple):
    """Whatever stands in it is kept until a moment; None: until it is released."""

    point: str
    kind: HoldKind
    reason: str
    until: datetime | None = None
    by: str = ""

    @property
    def in_words(self) -> str:
        by = f" by {self.by}" if self.by else ""
        why = f": {self.reason}" if self.reason else ""
        return f"held{by} ({self.kind}){why}"


class Verdict(NamedTuple):
    """What becomes of a restore point, and why. `until`: about when it goes if backups go on; None: nobody knows."""

    point: Point
    keep: bool
    reasons: tuple[str, ...]
    until: datetime | None = None
