"""Alarms: which there are, what they say, how often they are repeated and for how long they are tried. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scripts_admin.domain.phases import ThawBy

# The same alarm of the same policy is sent once in this time; what comes meanwhile is counted in the next one.
REPEAT = timedelta(hours=1)
PAUSES = tuple(timedelta(seconds=s) for s in (15, 30, 60, 120, 300, 600, 1800, 3600))


class AlarmKind(StrEnum):
    """What an entry of the outbox says. Pings are for programs, all others for people."""

    MAY_BE_FROZEN = "may_be_frozen"
    THAWED_LATE = "thawed_late"
    FAILED = "failed"
    PARTIAL = "partial"
    MISSED = "missed"
    RECOVERED = "recovered"
    PING_START = "ping_start"
    PING_SUCCESS = "ping_success"
    PING_FAIL = "ping_fail"


PINGS = frozenset({AlarmKind.PING_START, AlarmKind.PING_SUCCESS, AlarmKind.PING_FAIL})
# What a recovery answers to.
TROUBLE = frozenset(
    {
        AlarmKind.MAY_BE_FROZEN,
        AlarmKind.THAWED_LATE,
        AlarmKind.FAILED,
        AlarmKind.PARTIAL,
        AlarmKind.MISSED,
    }
)
_FREEZE = frozenset({AlarmKind.MAY_BE_FROZEN, AlarmKind.RECOVERED})
PING_PATHS = {
    AlarmKind.PING_START: "/start",
    AlarmKind.PING_SUCCESS: "",
    AlarmKind.PING_FAIL: "/fail",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What a person reads: the title alone says what is wrong with what."""

    title: str
    text: str


def pause(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts that failed."""
    return PAUSES[min(attempts, len(PAUSES)) - 1]


def patience(kind: AlarmKind) -> timedelta:
    """Return for how long a message is tried; what a ping says is soon untrue."""
    return timedelta(hours=1) if kind in PINGS else timedelta(days=1)


def newest_of(kind: AlarmKind) -> frozenset[AlarmKind]:
    """Return the kinds of which only the newest message on a policy is true; none where each is true for itself."""
    return next((kinds for kinds in (PINGS, _FREEZE) if kind in kinds), frozenset())


def may_be_frozen(label: str, since: datetime, run: str, *, given_up: bool) -> Message:
    """Say that somebody has to look at once, and how."""
    prospect = (
        "The server does not run after again: it stays frozen until you thaw it."
        if given_up
        else "The server goes on running after for some time; when it succeeds another message says so."
    )
    return Message(
        f"{label} MAY BE FROZEN since {_words(since)}",
        f"The application of {label} may be frozen since {_words(since)}: after has not succeeded in run {run}.\n"
        f"1. Look what after said: manage.py show_run {run}\n"
        "2. Thaw the application by hand, with the commands of after, and see that it works.\n"
        f"3. Confirm it: manage.py confirm_thaw {label}\n"
        f"More stands in README, Troubleshooting. {prospect}",
    )


def seen_in_the_spool(label: str, since: datetime, run: str, *, given_up: bool) -> Message:
    """Say the same where the database could not take it up."""
    plain = may_be_frozen(label, since, run, given_up=given_up)
    addition = (
        "\nThe server's database did not take this up: it may be away, or lie on the frozen disk."
    )
    return Message(plain.title, plain.text + addition)


def thawed_late(label: str, run: str, thawed_by: str) -> Message:
    """Say that a window did not end as it should."""
    known: dict[str, str] = {
        ThawBy.DEADLINE: "max_freeze_seconds had passed before the snapshots were all fired",
        ThawBy.LOST: "the process that kept the window was lost",
    }
    why = known.get(thawed_by, thawed_by)
    return Message(
        f"{label} was thawed late",
        f"{label} was thawed automatically in run {run}: {why}. The application runs again. Its snapshots are "
        f"not application-consistent. Details: manage.py show_run {run}",
    )


def ended(label: str, state: str, run: str, reason: str, retry_at: datetime | None) -> Message:
    """Say that a run failed, wholly or in part."""
    retry = f"\nIt is tried again at {_words(retry_at)}." if retry_at else ""
    worth = (
        "There is no usable snapshot." if state == AlarmKind.FAILED else "Something failed in it."
    )
    return Message(
        f"{label}: backup {state}",
        f"Run {run} of {label} ended {state}. {worth}\n{reason or 'No reason was recorded.'}{retry}\n"
        f"Details: manage.py show_run {run}",
    )


def missed(label: str, run: str, reason: str) -> Message:
    """Say that nobody was there when a run was due."""
    return Message(
        f"{label}: backup missed",
        f"{label} was not backed up when it was due. {reason}\nDetails: manage.py show_run {run}",
    )


def recovered(label: str, run: str, how: str) -> Message:
    """Say that what an earlier message told is over."""
    return Message(f"{label} has recovered", f"{how}\nDetails: manage.py show_run {run}")


def trial(label: str) -> Message:
    """Say that nothing is wrong."""
    return Message(
        f"{label}: test message",
        f"This is a test of the alarms of {label}. Nothing is wrong and nothing is to be done.",
    )


def counted(text: str, count: int, since: datetime) -> str:
    """Add how many of the same kind were held back to the text of the last of them."""
    if count == 1:
        return text
    return f"{text}\n{count} such messages since {_words(since)}; this is the last of them."


def _words(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
