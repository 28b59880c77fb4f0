"""Trials of instances: drills and logins, what each is worth, and when a policy is drilled by itself. Pure."""

import hashlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scripts_admin.domain.remote import By, ThawnBy

EVERY = timedelta(days=30)
OLD = timedelta(days=45)  # a proof older than this is none any more
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What is tried on the instances of a policy."""

    DRILL = "drill"  # whether each thaws by itself
    LOGIN = "login"  # whether this server can log in, and with which key


class State(StrEnum):
    """Where a trial stands."""

    QUEUED = "queued"
    WORKING = "working"
    DONE = "done"


class Verdict(StrEnum):
    """What a trial found on one instance."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_POSSIBLE = "not_possible"


NO_DRILL_BY_SSM = (
    "Its scripts get there by SSM, and the drill is for SSH only: a deadline thaws there by itself."
)
_LOGIND = "in /etc/systemd/logind.conf, or run loginctl enable-linger"


def judged(by: str, state: str, instance: str, user: str) -> tuple[Verdict, str]:
    """Return what a drill over SSH proves, and its sentence.

    `by` is who began the thaw, "" if nobody has; `state` is what the second session found of the first one.
    """
    if by == ThawnBy.EOF:
        return Verdict.PASSED, f"{instance} thawed by itself when its connection ended (over {by})."
    return Verdict.FAILED, f"{instance} {_failure(by, state, user or 'its user')}"


def _failure(by: str, state: str, user: str) -> str:
    if state == "rebooted":
        return "was restarted during the drill: drill it again."
    if state == "absent":
        return (
            "lost what lay in its memory when the connection ended. Keep what the user has there: set RemoveIPC=no "
            f"{_LOGIND} {user}."
        )
    if by == ThawnBy.ORPHAN:
        return (
            "ended the thawing process together with the connection, and thawed only when it was asked. Let it "
            f"live on: set KillUserProcesses=no {_LOGIND} {user}."
        )
    if by in {ThawnBy.SILENCE, ThawnBy.DEADLINE}:
        return (
            f"thawed by itself, but late (over {by}): it did not see that its connection had ended. Look for what "
            "keeps connections open between it and this server: a bastion, a proxy, a firewall."
        )
    return (
        f"had not thawed by itself 15 s after its connection was cut. Look at what {user} may run there, and let no "
        "policy freeze anything on it before a drill passes."
    )


def can_be_drilled(by: str) -> bool:
    """Tell whether a drill knows how to cut the connection of scripts that get to their instance this way."""
    return by == By.SSH


def slot(key: int, now: datetime) -> datetime:
    """Return since when a policy is due for a drill by itself: each has a moment of its own in every 30 days."""
    digest = hashlib.sha256(f"drill {key}".encode()).digest()
    offset = EVERY * (int.from_bytes(digest[:4], "big") / 2**32)
    periods = (now - _BEGINNING - offset) // EVERY
    return _BEGINNING + offset + periods * EVERY
