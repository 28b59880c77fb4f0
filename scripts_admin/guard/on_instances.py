"""Scripts that run on instances: what a record says of them, and what a journal says that became of them.

A far side on the instance holds both scripts at gates, is the clock of its own window, and thaws by itself. Two
clocks are never compared: every time here is this server's, when it spoke or heard.
"""

from dataclasses import dataclass, field
from typing import Any

from scripts_admin.domain.phases import ENDED_BY_ITSELF, Outcome

WORKER = "worker"  # the far side began to thaw because it was told to, and for no other reason
NEVER = "never"  # its gates were closed before before was let go
SSM = "ssm"
NO_ANSWER = "it did not answer in time"
MOST_OUTPUTS = 6  # of one instance: before, the first after and the last one, two streams each
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OnInstance:
    """The scripts of one instance, as the record has them.

    How to reach it again is in another file of the spool, as the guard needs none of it. `armed` False: the far side
    was refused, so nothing runs there, and its before counts as failed.
    """

    instance: str
    by: str
    nonce: str = ""
    folder: str = ""  # the run's, on the instance
    boot: str = ""  # the instance's boot that has it
    before: str = ""  # the names of its scripts; "" if there is none
    after: str = ""
    before_seconds: float = 0.0
    after_seconds: float = 0.0
    armed: bool = True
    outcome: str = ""  # before's, where nothing is armed
    argument: str = ""  # what after gets where it is run alone; "": what before has earned


def of(raw: object) -> tuple[OnInstance, ...]:
    """Return what a record has; KeyError, TypeError or ValueError if it does not tell."""
    return tuple(
        OnInstance(
            instance=str(each["instance"]),
            by=str(each["by"]),
            nonce=str(each["nonce"]),
            folder=str(each["folder"]),
            boot=str(each["boot"]),
            before=str(each["before"]),
            after=str(each["after"]),
            before_seconds=float(each["before_seconds"]),
            after_seconds=float(each["after_seconds"]),
            armed=bool(each["armed"]),
            outcome=str(each["outcome"]),
            argument=str(each.get("argument", "")),
        )
        for each in (raw if isinstance(raw, list) else ())
    )


@dataclass(slots=True)
class AfterThere:
    """One attempt of after on an instance; `by` is who began it."""

    number: int
    code: str  # an exit code, or a word
    by: str
    at: float
    boot: float

    @property
    def exit_code(self) -> int | None:
        return _number(self.code)

    @property
    def outcome(self) -> Outcome:
        return _outcome(self.code)


@dataclass(slots=True)
class There:
    """What became of the scripts of one instance, as far as this server knows.

    `at` times are UNIX seconds, `boot` times seconds since boot.
    """

    instance: str
    go_at: float | None = None  # it was told to let before go, so it may be frozen
    go_boot: float | None = None
    code: str = ""  # before's exit code, or `timeout` or `cut`
    before_at: float | None = None
    before_boot: float | None = None
    refused: str = ""  # before never ran, and why
    told: str = ""  # the argument that it was told to thaw with
    told_boot: float | None = None
    thaw_by: str = ""
    argument: str = ""  # that it began to thaw with
    thaw_at: float | None = None
    afters: dict[int, AfterThere] = field(default_factory=dict)
    over: str = ""  # who began the thaw; nothing more happens there
    over_at: float | None = None
    lost: str = ""  # why nothing more can be heard in this session
    late: str = (
        ""  # why its before was not waited for any longer: what it tells now may be too late
    )
    came_late: bool = False
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def was_told(self) -> bool:
        return self.go_at is not None

    @property
    def outcome(self) -> Outcome:
        """Return before's outcome."""
        if self.refused or self.over == NEVER:
            return Outcome.NOT_RUN
        if self.code:  # even if the line that it was told to begin is lost
            # The calls may have been made before it held anything.
            return Outcome.TIMED_OUT if self.came_late and self.code == "0" else _outcome(self.code)
        return Outcome.INTERRUPTED if self.was_told or self.thaw_by else Outcome.NOT_RUN

    @property
    def is_closed(self) -> bool:
        """Tell whether before cannot be let go any more: its gate has closed, or nobody there can be spoken to."""
        return bool(self.lost or self.over or self.refused)

    @property
    def before_is_known(self) -> bool:
        """Tell whether nothing more is to be heard of before."""
        ended = self.code or self.refused or self.thaw_by or self.over
        return bool(ended or self.lost or self.late)

    @property
    def is_owed(self) -> bool:
        """Tell whether it was told to begin, and has not told that it is over."""
        return self.was_told and not self.refused and not self.over

    @property
    def is_about_over(self) -> bool:
        """Tell whether it is over, or will be in a moment: its after has succeeded and is not run once more."""
        first = self.afters.get(1)
        ended = self.outcome in ENDED_BY_ITSELF
        return bool(self.over) or (ended and first is not None and first.code == "0")

    @property
    def has_given_up(self) -> bool:
        """Tell whether its after failed until its retries were over: a person has to thaw."""
        last = self.afters.get(max(self.afters, default=0))
        return bool(self.over) and last is not None and last.code != "0"

    @property
    def has_tried(self) -> bool:
        """Tell whether nothing more is to be waited for in the window: its first after has ended, or it is lost."""
        return not self.is_owed or bool(self.lost or self.afters)

    def is_news(self, event: Event) -> bool:
        """Tell whether `take` would learn from a word: a far side that repeats itself fills no memory."""
        if "attempt" in event:
            return int(event["attempt"]) not in self.afters
        known = {
            "before": self.code,
            "thawing": self.thaw_by,
            "over": self.over,
            "refused": self.refused,
            "gone": self.lost,
            "lost": self.late or self.before_is_known,
        }
        return not known.get(event["word"], "a word of another version")

    def take(self, event: Event, at: float, boot: float) -> None:
        """Take a word of the far side; one that this version does not know says nothing.

        A second session hears everything from the beginning: what is known is not heard anew.
        """
        match event["word"]:
            case "before" if not self.code:
                self.code, self.before_at, self.before_boot = str(event["code"]), at, boot
                self.came_late = bool(self.late) or self.lost == NO_ANSWER
            case "thawing" if not self.thaw_by:
                self.thaw_by, self.argument = str(event["by"]), str(event["argument"])
                self.thaw_at = at
            case "after":
                number, code = int(event["attempt"]), str(event["code"])
                self.afters.setdefault(number, AfterThere(number, code, str(event["by"]), at, boot))
            case "over" if not self.over:
                self.over, self.over_at = str(event["by"]), at
            case "refused" if not (self.code or self.thaw_by):
                self.refused = str(event["why"])
            case "gone":
                self.lost = str(event["why"])
            case "lost":
                self.late = str(event["why"])


def _number(code: str) -> int | None:
    return int(code) if code.removeprefix("-").isdecimal() else None


def _outcome(code: str) -> Outcome:
    number = _number(code)
    if number is not None:
        return Outcome.FAILED if number else Outcome.SUCCEEDED
    return Outcome.TIMED_OUT if code == "timeout" else Outcome.INTERRUPTED
