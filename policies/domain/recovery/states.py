"""The states of a recovery, and what leads from one to the next. Pure.

A recovery that is taken back works, too: its `Ending` says what it becomes once everything is as it was.
"""

from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    """What is restored."""

    VOLUME = "volume"
    VOLUME_IN_PLACE = "volume_in_place"
    ROOT_IN_PLACE = "root_in_place"
    INSTANCE = "instance"
    FILES = "files"


class State(StrEnum):
    """Where a recovery stands."""

    QUEUED = "queued"
    WORKING = "working"
    INITIALIZING = "initializing"  # all is made and can be used; AWS still loads the volumes
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What happens to a recovery."""

    BEGIN = "begin"
    MADE = "made"
    LOADED = "loaded"
    TAKE_BACK = "take back"
    FAIL = "fail"
    UNDO = "undo"
    CANCEL = "cancel"


IN_PLACE = frozenset({Kind.VOLUME_IN_PLACE, Kind.ROOT_IN_PLACE})
UNFINISHED = frozenset({State.QUEUED, State.WORKING, State.INITIALIZING})
ENDS = frozenset(set(State) - UNFINISHED)
# What a recovery may end as after its steps were taken back.
ENDINGS = frozenset({State.FAILED, State.UNDONE, State.CANCELLED})
UNDOABLE = frozenset({State.INITIALIZING, State.DONE, State.FAILED})

NEXT: Mapping[tuple[State, Event], State] = {
    (State.QUEUED, Event.BEGIN): State.WORKING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.FAIL): State.FAILED,
    (State.WORKING, Event.MADE): State.INITIALIZING,
    (State.WORKING, Event.LOADED): State.DONE,  # nothing of it has to be loaded
    (State.WORKING, Event.TAKE_BACK): State.WORKING,
    (State.WORKING, Event.FAIL): State.FAILED,
    (State.WORKING, Event.UNDO): State.UNDONE,
    (State.WORKING, Event.CANCEL): State.CANCELLED,
    (State.INITIALIZING, Event.LOADED): State.DONE,
    (State.INITIALIZING, Event.FAIL): State.FAILED,
    (State.INITIALIZING, Event.TAKE_BACK): State.WORKING,
    (State.DONE, Event.TAKE_BACK): State.WORKING,
    (State.FAILED, Event.TAKE_BACK): State.WORKING,
}
_ENDED_BY = {State.FAILED: Event.FAIL, State.UNDONE: Event.UNDO, State.CANCELLED: Event.CANCEL}


def after(state: State, event: Event) -> State | None:
    """Return the next state; None if this cannot happen in that state."""
    return NEXT.get((state, event))


def ends_by(ending: State) -> Event:
    """Return the event with which a recovery that was taken back ends."""
    return _ENDED_BY[ending]
