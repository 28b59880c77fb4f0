"""Alarms: their kinds and texts, how often they are repeated and for how long they are tried. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scripts_admin.domain.phases import ThawBy

# The same alarm of the same policy is sent once in this time; the next one counts those in between.
REPEAT = timedelta(hours=1)
PAUSES = tuple(timedelta(seconds=s) for s in (15, 30, 60, 120, 300, 600, 1800, 3600))


class AlarmKind(StrEnum):
    """The kinds of entries in the outbox. Pings are for programs, all others for people."""

    MAY_BE_FROZEN = "may_be_frozen"
    THAWED_LATE = "thawed_late"
    FAILED = "failed"
    PARTIAL = "partial"
    MISSED = "missed"
    WAITS_TOO_LONG = "waits_too_long"
    SKIPPED = "skipped"
    RECOVERED = "recovered"
    ENROLMENT = "enrolment"
    HOST_KEY = "host_key"
    DRILL = "drill"
    PROOF_FAILED = "proof_failed"
    PROOF_OVERDUE = "proof_overdue"
    RESTORE = "restore"
    COPY_FAILED = "copy_failed"
    COPY_LATE = "copy_late"
    PING_START = "ping_start"
    PING_SUCCESS = "ping_success"
    PING_FAIL = "ping_fail"


PINGS = frozenset({AlarmKind.PING_START, AlarmKind.PING_SUCCESS, AlarmKind.PING_FAIL})
# The kinds that a recovery ends.
TROUBLE = frozenset(
    {
        AlarmKind.MAY_BE_FROZEN,
        AlarmKind.THAWED_LATE,
        AlarmKind.FAILED,
        AlarmKind.PARTIAL,
        AlarmKind.MISSED,
        AlarmKind.WAITS_TOO_LONG,
        AlarmKind.SKIPPED,
    }
)
FREEZE = frozenset({AlarmKind.MAY_BE_FROZEN, AlarmKind.RECOVERED})
PING_PATHS = {
    AlarmKind.PING_START: "/start",
    AlarmKind.PING_SUCCESS: "",
    AlarmKind.PING_FAIL: "/fail",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a person: the title alone says which policy has which problem."""

    title: str
    text: str


def pause(attempts: int) -> timedelta:
    """Return how long to wait after so many failed attempts."""
    return PAUSES[min(attempts, len(PAUSES)) - 1]


def patience(kind: AlarmKind) -> timedelta:
    """Return for how long a message is tried; shorter for a ping, which is soon out of date."""
    return timedelta(hours=1) if kind in PINGS else timedelta(days=1)


def newest_of(kind: AlarmKind) -> frozenset[AlarmKind]:
    """Return the kinds of which only a policy's newest message is true; none if every message stays true."""
    return next((kinds for kinds in (PINGS, FREEZE) if kind in kinds), frozenset())


def may_be_frozen(label: str, since: datetime, run: str, *, given_up: bool) -> Message:
    """Ask for an immediate thaw by hand, with the steps."""
    prospect = (
        "The server does not run after again: the application stays frozen until you thaw it."
        if given_up
        else "The server runs after again for some time; if it succeeds, another message says so."
    )
    return Message(
        f"{label} MAY BE FROZEN since {_words(since)}",
        f"The application of {label} may be frozen since {_words(since)}: after has not succeeded in run {run}.\n"
        f"1. Read the output of after: manage.py show_run {run}\n"
        "2. Thaw the application by hand, with the commands of after, and check that it works.\n"
        f"3. Confirm it: manage.py confirm_thaw {label}\n"
        f"For more help, see docs/troubleshooting.md. {prospect}",
    )


def server_gone(label: str, since: datetime, run: str, server: str) -> Message:
    """Ask for a thaw of what only a server that is gone could thaw, with the steps."""
    return Message(
        f"{label} MAY BE FROZEN since {_words(since)}: server {server} is gone",
        f"The application of {label} may be frozen since {_words(since)}: server {server} is gone, and only it can "
        f"run after of run {run}.\n"
        "1. Start that server again: first of all it thaws what it left frozen. Another message tells of the thaw.\n"
        "2. If it cannot be started at once, thaw the application by hand, with the commands of after, and check "
        "that it works.\n"
        f"3. Then confirm it on another server: manage.py confirm_thaw {label}\n"
        "For more help, see docs/troubleshooting.md.",
    )


def seen_in_the_spool(label: str, since: datetime, run: str, *, given_up: bool) -> Message:
    """Return the same message for a case that the database could not record."""
    plain = may_be_frozen(label, since, run, given_up=given_up)
    addition = (
        "\nThe server's database did not record this: it may be away, or be on the frozen disk."
    )
    return Message(plain.title, plain.text + addition)


def thawed_late(label: str, run: str, thawed_by: str) -> Message:
    """Report a window that its deadline or a lost process ended."""
    known: dict[str, str] = {
        ThawBy.DEADLINE: "max_freeze_seconds had passed before all snapshots were fired",
        ThawBy.LOST: "the process that kept the window was lost",
        ThawBy.INSTANCE: "an instance thawed by itself before the server asked it to",
    }
    why = known.get(thawed_by, thawed_by)
    return Message(
        f"{label} was thawed late",
        f"{label} was thawed automatically in run {run}: {why}. The application runs again. Its snapshots are "
        f"not application-consistent. Details: manage.py show_run {run}",
    )


def ended(label: str, state: str, run: str, reason: str, retry_at: datetime | None) -> Message:
    """Report that a run failed, wholly or in part."""
    retry = f"\nThe server tries again at {_words(retry_at)}." if retry_at else ""
    worth = (
        "There is no usable snapshot." if state == AlarmKind.FAILED else "Something failed in it."
    )
    return Message(
        f"{label}: backup {state}",
        f"Run {run} of {label} ended {state}. {worth}\n{reason or 'No reason was recorded.'}{retry}\n"
        f"Details: manage.py show_run {run}",
    )


def missed(label: str, run: str, reason: str) -> Message:
    """Report a backup that did not run when it was due."""
    return Message(
        f"{label}: backup missed",
        f"{label} was not backed up when it was due. {reason}\nDetails: manage.py show_run {run}",
    )


def waits_too_long(label: str, run: str, why: str, since: datetime) -> Message:
    """Report a backup that is due and cannot begin."""
    return Message(
        f"{label}: backup waits",
        f"Run {run} of {label} has waited since {_words(since)}: it {why}. There is no new backup until it begins.\n"
        f"Details: manage.py show_run {run}",
    )


def skipped(label: str, run: str, state: str, count: int) -> Message:
    """Report due times without a backup, because an earlier run has not ended."""
    return Message(
        f"{label}: {count} backups skipped in a row",
        f"{count} due times of {label} were skipped, because run {run} has not ended ({state}). Look at what it waits "
        f"for, and cancel it if nothing is to be expected of it.\nDetails: manage.py show_run {run}",
    )


def left_policy(label: str, reasons: Sequence[str]) -> Message:
    """Report that a rule of tag enrolment took targets out of a policy."""
    many = "1 target" if len(reasons) == 1 else f"{len(reasons)} targets"
    lines = "\n".join(f"- {reason}." for reason in reasons)
    return Message(
        f"{label}: {many} left the policy",
        f"{many} left {label} by a rule of tag enrolment. The policy does not back this up any more:\n{lines}\n"
        "If it must be backed up, give it the tag again, or enter it as a target by hand.",
    )


def stays_as_last(label: str, reason: str) -> Message:
    """Report that a policy's last target stays although no rule takes it any more."""
    return Message(
        f"{label}: the last target stays without its tag",
        f"{reason}. It is the last target of {label}, so it stays and is still backed up.\n"
        "Give another one the tag, or change or delete the policy.",
    )


def no_room(label: str, rule: str, region: str, count: int, most: int) -> Message:
    """Report that a rule takes more than a policy can back up at once."""
    return Message(
        f"{label}: {count} found no room in the policy",
        f"{count} in {region} bear the tag {rule} and did not join {label}: a policy takes {most} targets by rules, "
        "as AWS takes no more snapshot calls at the same moment. They are not backed up by this policy.\n"
        "Give some of them another tag value, with a rule and a policy of its own.",
    )


def recovered(label: str, run: str, how: str) -> Message:
    """Report the end of an earlier problem."""
    return Message(f"{label} has recovered", f"{how}\nDetails: manage.py show_run {run}")


def thawed(label: str, run: str) -> str:
    """Return the sentence about a thaw by after."""
    return f"after has succeeded in run {run}: {label} is thawed."


def host_key_changed(label: str, hosts: Sequence[str], reason: str, run: str) -> Message:
    """Report hosts that show other keys than the approved ones."""
    many = "s have" if len(hosts) > 1 else " has"
    return Message(
        f"{label}: the SSH host key{many} CHANGED: {', '.join(hosts)}",
        f"Run {run} of {label} was stopped before it froze anything. {reason}\n"
        f"Details: manage.py show_run {run}",
    )


def host_key_left_out(label: str, hosts: Sequence[str], reason: str, run: str) -> Message:
    """Report instances that show other keys than the approved ones; the run goes on without their scripts."""
    many = "s have" if len(hosts) > 1 else " has"
    return Message(
        f"{label}: the SSH host key{many} CHANGED: {', '.join(hosts)}",
        f"Run {run} of {label} goes on, without scripts on what shows another key. {reason}\n"
        f"Details: manage.py show_run {run}",
    )


def not_proven(label: str, sentences: Sequence[str]) -> Message:
    """Report instances that a drill did not prove to thaw by themselves."""
    many = "1 instance" if len(sentences) == 1 else f"{len(sentences)} instances"
    lines = "\n".join(f"- {each}" for each in sentences)
    return Message(
        f"{label}: the drill failed on {many}",
        f"A drill of {label} arms scripts that do nothing, and cuts the connection on purpose; nothing was frozen. It "
        f"did not prove that these thaw by themselves if this server dies:\n{lines}\n"
        f"When that is mended, drill again: manage.py drill {label}",
    )


def proof_failed(label: str, proof: str, snapshot: str, reason: str) -> Message:
    """Report a snapshot that is not worth what it should be."""
    return Message(
        f"{label}: the proof of {snapshot} FAILED",
        f"Proof {proof} of {label} tried {snapshot}. {reason}\n"
        "A backup that cannot be proven may not come back: look at its output, and prove another restore point.\n"
        f"Details: manage.py show_proof {proof}",
    )


def proof_overdue(label: str, days: int, last: datetime | None, why: str) -> Message:
    """Report a policy whose restore points have not been proven for too long."""
    when = f"The last proof that passed ended at {_words(last)}." if last else "None ever passed."
    return Message(
        f"{label}: its backups are not proven",
        f"{label} is to be proven every {days} days. {when} {why}\n"
        f"Prove one now: manage.py prove {label}",
    )


def restore_failed(
    label: str, what: str, recovery: str, reason: str, left: Sequence[str]
) -> Message:
    """Report a recovery that failed, and what it made and could not take away."""
    rest = (
        f"These were made and may still be there: {', '.join(left)}."
        if left
        else "Nothing that it made is left."
    )
    return Message(
        f"{label}: the recovery of {what} failed",
        f"Recovery {recovery} from a backup of {label} failed. {reason}\n{rest}\n"
        f"Details: manage.py show_recovery {recovery}",
    )


def copy_failed(label: str, run: str, where: str, reason: str) -> Message:
    """Report a copy that was not made, and will not be made without a person."""
    return Message(
        f"{label}: a copy to {where} failed",
        f"A snapshot of run {run} of {label} was not copied to {where}: {reason}\n"
        "The backup itself is not affected, but there is no copy of it in that place.\n"
        f"Remove the cause, then have it made again: manage.py copies {run} --again",
    )


def late(owner: str, count: int, longest: str, due: datetime) -> Message:
    """Report backups of an owner that are due and do not begin; nothing but the server keeps them."""
    several = "1 backup is" if count == 1 else f"{count} backups are"
    return Message(
        f"{owner}: {several} late",
        f"{several.capitalize()} due and not begun. {longest} has waited longest: it was due at {_words(due)}.\n"
        "Nothing is frozen. The backups begin when the server gets to them; one that is an hour late is missed.\n"
        "The server has more to do than it can, or its workers do not run: look at the dashboard, and at "
        "manage.py doctor. This is told once, until 15 minutes have passed without a late backup.",
    )


def copy_late(label: str, run: str, where: str, minutes: int) -> Message:
    """Report a copy for whose speed AWS is paid, and which AWS did not complete in that time."""
    return Message(
        f"{label}: AWS did not complete a copy to {where} within {minutes} minutes",
        f"The policy {label} pays for copies to {where} within {minutes} minutes. For run {run}, AWS has not kept that "
        "time. The server waits for the copy; nothing has to be done for it.\n"
        "If this happens often, the volumes change more than AWS copies in that time: allow more minutes.",
    )


def trial(label: str) -> Message:
    """Return a test message."""
    return Message(
        f"{label}: test message",
        f"This is a test of the alarms of {label}. Nothing is wrong; you need not do anything.",
    )


def held_back(told: Sequence[tuple[datetime, str]]) -> Message:
    """Return one message for several that a receiver's quiet hours held back, the oldest first."""
    lines = [f"{_words(at)}  {title}" for at, title in sorted(told)]
    return Message(
        f"{len(lines)} messages from your quiet hours",
        "\n".join([*lines, "What may be frozen is never held back. Details: the page Alarms."]),
    )


def counted(text: str, count: int, since: datetime) -> str:
    """Add the number of held-back messages of the same kind to the text of the last one."""
    if count == 1:
        return text
    return f"{text}\n{count} such messages since {_words(since)}; this is the last of them."


def _words(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
