"""The states of a copy of a snapshot, and which may follow which. Pure.

planned → asking → pending → completed → deleting → deleted. `asking` is written before AWS is asked: what became of
a call without an answer is settled by the copy's tag, and only then is AWS asked again.
"""

from collections.abc import Mapping
from enum import StrEnum


class CopyState(StrEnum):
    PLANNED = "planned"
    ASKING = "asking"  # AWS may have been asked
    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    GONE = "gone"  # it was completed, and AWS no longer has it
    DELETING = "deleting"
    DELETED = "deleted"


NEXT: Mapping[CopyState, frozenset[CopyState]] = {
    CopyState.PLANNED: frozenset({CopyState.ASKING, CopyState.FAILED}),
    # Back to planned: AWS refused and did nothing, or no copy with its tag has appeared.
    CopyState.ASKING: frozenset({CopyState.PENDING, CopyState.PLANNED, CopyState.FAILED}),
    CopyState.PENDING: frozenset({CopyState.COMPLETED, CopyState.FAILED}),
    CopyState.COMPLETED: frozenset({CopyState.DELETING, CopyState.GONE}),
    # A person has it made again, or what AWS left of it is deleted.
    CopyState.FAILED: frozenset({CopyState.PLANNED}),
    CopyState.GONE: frozenset(),
    CopyState.DELETING: frozenset({CopyState.DELETED}),
    CopyState.DELETED: frozenset(),
}
UNDER_WAY = frozenset({CopyState.PLANNED, CopyState.ASKING, CopyState.PENDING})
# AWS has, or may have, a snapshot of it: its run must not be forgotten.
THERE = UNDER_WAY | {CopyState.COMPLETED, CopyState.DELETING}


def may_follow(before: CopyState, after: CopyState) -> bool:
    return after in NEXT[before]
