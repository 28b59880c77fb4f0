"""The state machine of a run: (state, event) → (state, effects). Pure.

Only `policies.services.runs` applies it, and only by compare-and-set on the run's row. If a pair is not
in the table, the event is refused and the row stays as it is.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class State(StrEnum):
    """The states of a run."""

    QUEUED = "queued"
    PREPARING = "preparing"
    FROZEN = "frozen"  # before has been ordered, and after has not ended
    THAWING = "thawing"  # after is being repeated
    WAITING = "waiting"
    COMPLETING = "completing"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    MISSED = "missed"


ENDS = frozenset(
    {
        State.SUCCEEDED,
        State.PARTIAL,
        State.FAILED,
        State.CANCELLED,
        State.SKIPPED,
        State.MISSED,
    }
)
UNFINISHED = frozenset(State) - ENDS
# In these, an application may be frozen: no new window of the policy, no deletion, and alarms are sent.
MAY_BE_FROZEN = frozenset({State.FROZEN, State.THAWING})
# A run that ends so is retried, if the policy has retries.
RETRIED = frozenset({State.FAILED, State.PARTIAL})
# From the first of these on, until it succeeds, a policy is failing. Whoever cancels a run knows of it.
FAILING = RETRIED | {State.MISSED}


class Event(StrEnum):
    """The events of a run."""

    CLAIMED = "claimed"  # a worker took it
    DEFERRED = "deferred"  # it must wait for a permit or a lease
    LOST = "lost"  # its keeper died before anything was frozen
    NOTHING_LEFT = "nothing_left"  # no target can be backed up
    ORDERED = "ordered"  # before is about to be started
    THAWED = "thawed"  # after has succeeded, and need not be repeated
    THAW_REPEATS = "thaw_repeats"  # after has succeeded, but before may still freeze something late
    THAW_FAILED = "thaw_failed"
    CONFIRMED = "confirmed"  # a person confirms that it is thawed
    GIVEN_UP = "given_up"  # no attempt to thaw is left
    SERVER_GONE = "server_gone"  # the only server that can thaw it is gone
    SETTLED = "settled"  # every snapshot is completed or failed
    COMPLETED = "completed"  # complete has ended, or is not run
    CANCEL = "cancel"
    BROKEN = "broken"  # an error that would come again keeps it from being claimed


class Effect(StrEnum):
    """The service's work that belongs to the change, in the same transaction or on its commit."""

    RELEASE = "release"  # leases of the resources
    MARK = "mark"  # the policy: may be frozen since
    UNMARK = "unmark"
    UNMARK_IF_THAWED = "unmark_if_thawed"  # only a successful after removes an earlier mark
    TAG = "tag"  # write the results so far to the snapshots' tags
    COMPLETE = "complete"  # send the run to its complete phase
    CLOSE = "close"  # count the run, and note it as the policy's last


class Step(NamedTuple):
    """The result of an event. `state` None: the verdict decides the end state."""

    state: State | None
    effects: tuple[Effect, ...] = ()


S, E, F = State, Event, Effect

TABLE: Mapping[tuple[State, Event], Step] = MappingProxyType(
    {
        (S.QUEUED, E.CLAIMED): Step(S.PREPARING),
        (S.QUEUED, E.CANCEL): Step(S.CANCELLED, (F.CLOSE,)),
        (S.QUEUED, E.BROKEN): Step(S.FAILED, (F.CLOSE,)),
        (S.PREPARING, E.DEFERRED): Step(S.QUEUED, (F.RELEASE,)),
        (S.PREPARING, E.LOST): Step(S.QUEUED, (F.RELEASE,)),
        (S.PREPARING, E.NOTHING_LEFT): Step(S.COMPLETING, (F.RELEASE, F.COMPLETE)),
        (S.PREPARING, E.CANCEL): Step(S.COMPLETING, (F.RELEASE, F.COMPLETE)),
        (S.PREPARING, E.ORDERED): Step(S.FROZEN),
        # Leases are kept while after is repeated, so that no repetition falls into another run's window.
        # A cancelled run is thawed like any other; only the wait for its snapshots is cut short.
        (S.FROZEN, E.CANCEL): Step(S.FROZEN),
        (S.FROZEN, E.THAWED): Step(S.WAITING, (F.RELEASE, F.UNMARK_IF_THAWED, F.TAG)),
        (S.FROZEN, E.THAW_REPEATS): Step(S.THAWING, (F.TAG,)),
        (S.FROZEN, E.THAW_FAILED): Step(S.THAWING, (F.MARK, F.TAG)),
        (S.FROZEN, E.GIVEN_UP): Step(S.WAITING, (F.MARK, F.RELEASE, F.TAG)),
        # It stays in its server's hands, which thaws first of all when it comes back.
        (S.FROZEN, E.SERVER_GONE): Step(S.FROZEN, (F.MARK,)),
        (S.FROZEN, E.CONFIRMED): Step(S.WAITING, (F.RELEASE, F.UNMARK, F.TAG)),
        (S.THAWING, E.SERVER_GONE): Step(S.THAWING, (F.MARK,)),
        (S.THAWING, E.CANCEL): Step(S.THAWING),
        (S.THAWING, E.THAWED): Step(S.WAITING, (F.RELEASE, F.UNMARK_IF_THAWED)),
        (S.THAWING, E.THAW_REPEATS): Step(S.THAWING),
        (S.THAWING, E.THAW_FAILED): Step(S.THAWING, (F.MARK,)),
        (S.THAWING, E.CONFIRMED): Step(S.WAITING, (F.RELEASE, F.UNMARK)),
        (S.THAWING, E.GIVEN_UP): Step(S.WAITING, (F.MARK, F.RELEASE)),
        (S.WAITING, E.CANCEL): Step(S.COMPLETING, (F.COMPLETE,)),
        (S.WAITING, E.SETTLED): Step(S.COMPLETING, (F.COMPLETE,)),
        (S.COMPLETING, E.CANCEL): Step(S.COMPLETING),
        (S.COMPLETING, E.COMPLETED): Step(None, (F.TAG, F.CLOSE)),
    }
)


class NoSuchStepError(Exception):
    """The event has no meaning in this state."""


def step(state: State, event: Event) -> Step:
    """Return the result of `event` for a run in `state`; NoSuchStepError if the table has none."""
    try:
        return TABLE[state, event]
    except KeyError:
        message = f"a run that is {state} cannot be {event}"
        raise NoSuchStepError(message) from None
