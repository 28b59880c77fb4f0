"""Trials of instances: drills and logins, what each is worth, and when a policy is drilled by itself. Pure."""

import hashlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scripts_admin.domain.remote import ThawnBy

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


_LOGIND = "in /etc/systemd/logind.conf, or run loginctl enable-linger"


def judged(by: str, state: str, instance: str, user: str) -> tuple[Verdict, str]:
    """Return what a drill over SSH proves, and its sentence: an end of its connection that it has seen.

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


def judged_over_ssm(by: str, state: str, instance: str) -> tuple[Verdict, str]:
    """Return what a drill over SSM proves, and its sentence; as `judged`."""
    if by == ThawnBy.DEADLINE:
        return Verdict.PASSED, f"{instance} thawed by itself at its deadline (over {by})."
    return Verdict.FAILED, f"{instance} {_failure_over_ssm(by, state)}"


def _failure_over_ssm(by: str, state: str) -> str:
    if state == "rebooted":
        return "was restarted during the drill: drill it again."
    if state == "absent":
        return "lost what lay in its memory before its deadline: find out what tidies up /run or /dev/shm there."
    if by == ThawnBy.ORPHAN:
        return (
            "ended the thawing process before its deadline, and thawed only when it was asked. Look for what ends the "
            "processes that the agent starts: amazon-ssm-agent.service needs KillMode=process, as it is shipped."
        )
    return (
        "had not thawed by itself when it was asked after its deadline. Let no policy freeze anything on it before a "
        "drill passes."
    )


def slot(key: int, now: datetime) -> datetime:
    """Return since when a policy is due for a drill by itself: each has a moment of its own in every 30 days."""
    digest = hashlib.sha256(f"drill {key}".encode()).digest()
    offset = EVERY * (int.from_bytes(digest[:4], "big") / 2**32)
    periods = (now - _BEGINNING - offset) // EVERY
    return _BEGINNING + offset + periods * EVERY
