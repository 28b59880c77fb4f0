"""Proofs of snapshots: what is tried, how far one got, what that costs, and when one is due by itself. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

# AWS's prices of the EBS direct APIs in us-east-1, in USD, as published in November 2026.
PRICE_PER_BLOCK = 0.003 / 1_000
PRICE_PER_LISTING = 0.0006 / 1_000
BLOCKS_PER_LISTING = 1_000  # as the listing of a snapshot is asked for
GRACE = 0.5  # a proof is overdue when so much of its period has passed again
OUTPUT = 64 * 1024


class Level(IntEnum):
    """How much a proof shows; each includes those below it."""

    READABLE = 0
    MOUNTS = 1
    STARTS = 2
    AGREES = 3

    @property
    def word(self) -> str:
        return self.name.lower()


LEVELS = tuple((level.value, f"{level.value}: {level.word}") for level in Level)


class State(StrEnum):
    """Where a proof stands. NOT_POSSIBLE: it could not be tried, and says nothing good about the snapshot."""

    QUEUED = "queued"
    WORKING = "working"
    PASSED = "passed"
    FAILED = "failed"
    NOT_POSSIBLE = "not_possible"


ENDS = frozenset({State.PASSED, State.FAILED, State.NOT_POSSIBLE})


class Mark(StrEnum):
    """What became of the run's mark. NONE: there is no place for marks."""

    FOUND = "found"
    MISSING = "missing"
    NONE = "none"


class Recipe(StrEnum):
    """What is started on the files of a snapshot. FILES: no server of ours, but what the owner's scripts start."""

    NONE = "none"
    FILES = "files"
    POSTGRESQL = "postgresql"
    MARIADB = "mariadb"
    REDIS = "redis"


CHOICES = (
    (Recipe.NONE.value, "nothing"),
    (Recipe.POSTGRESQL.value, "PostgreSQL"),
    (Recipe.MARIADB.value, "MariaDB"),
    (Recipe.REDIS.value, "Redis or Valkey"),
    (Recipe.FILES.value, "files, or an application of your own"),
)
WORDS = dict(CHOICES)
# A file or folder that only the data folder of this application has.
_SIGNS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    Recipe.POSTGRESQL: (("PG_VERSION", "global"),),
    Recipe.MARIADB: (("ibdata1",),),
    Recipe.REDIS: (("appendonlydir",), ("dump.rdb",)),
}


def is_data(recipe: str, names: Iterable[str]) -> bool:
    """Tell whether a folder with these names in it is the data folder of the recipe's application."""
    there = set(names)
    return any(there.issuperset(sign) for sign in _SIGNS.get(recipe, ()))


@dataclass(slots=True)
class Findings:
    """What was said inside the image, read line by line; see services/proof/inside/common.sh."""

    server: str = ""
    lacks: str = ""  # why nothing could be started here
    is_up: bool = False
    up_seconds: float | None = None
    down: str = ""
    redo_bytes: int | None = None
    redo: str = ""
    mark: str = ""  # as in Mark; "": nobody looked
    younger: int = 0
    verify: int | None = None
    printed: list[str] = field(default_factory=list)


def findings(text: str) -> Findings:
    """Read what a recipe said. A line that is cut or unknown says nothing."""
    found = Findings()
    for line in text.splitlines():
        if line.startswith("| "):
            found.printed.append(line[2:])
        elif line.startswith("n2w "):
            _, word, rest = (*line.split(" ", 2), "", "")[:3]
            _read(found, word, rest)
    return found


def _read(found: Findings, word: str, rest: str) -> None:
    first, _, more = rest.partition(" ")
    if word == "server":
        found.server = rest
    elif word == "lacks":
        found.lacks = rest
    elif word == "down":
        found.down = rest
    elif word == "up":
        found.is_up, found.up_seconds = True, _number(first)
    elif word == "redo" and first.isdecimal():
        found.redo_bytes, found.redo = int(first), more
    elif word == "mark":
        found.mark = first
    elif word == "younger" and first.isdecimal():
        found.younger = int(first)
    elif word == "verify" and first.isdecimal():
        found.verify = int(first)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def disagreement(found: Findings) -> str:
    """Return why what is in the snapshot does not agree with its run; "" if it does.

    The mark is asked for unless the owner's own verification has decided.
    """
    if found.verify not in {None, 0}:
        return f"the owner's verification ended with exit code {found.verify}"
    if found.younger:
        many = "1 mark is" if found.younger == 1 else f"{found.younger} marks are"
        return f"{many} younger than the snapshot's own run: this is not the frozen moment"
    if found.verify == 0:
        return ""
    if found.mark == Mark.MISSING:
        return "the mark of its run is not in it: before did not write it, or it was not on the disk yet"
    if found.mark != Mark.FOUND:
        return "it has no table or file n2wbackup_marks, so no before of a recipe has written the mark of its run"
    return ""


def cost_usd(blocks: int, listed: int) -> float:
    """Return the price of reading so many blocks, after a listing of so many, as an estimate."""
    listings = -(-listed // BLOCKS_PER_LISTING)
    return round(blocks * PRICE_PER_BLOCK + listings * PRICE_PER_LISTING, 7)


def dollars(cost: float) -> str:
    """Return "$0.0003"; what is less than such numbers show is not called nothing."""
    return "under $0.0001" if 0 < cost < 0.00005 else f"${cost:.4f}"  # noqa: PLR2004 - rounds to 0.0001


def in_words(level: int, seconds: float | None, cost: float | None) -> str:
    """Return "level 3, 2.0 s, $0.0003"."""
    parts = [f"level {level}"]
    parts += [] if seconds is None else [f"{seconds:.1f} s"]
    parts += [] if cost is None else [dollars(cost)]
    return ", ".join(parts)


def is_overdue(last: datetime | None, since: datetime, days: int, now: datetime) -> bool:
    """Tell whether a policy that is to be proven each `days` has gone without for too long.

    `last`: its newest proof that passed; `since`: the first moment from which one could be expected.
    """
    start = max(last, since) if last else since
    return bool(days) and now - start > timedelta(days=days) * (1 + GRACE)


def slot(key: int, days: int, now: datetime) -> datetime:
    """Return since when a policy is due: each has a moment of its own in every period of so many days."""
    every = timedelta(days=days)
    digest = hashlib.sha256(f"proof {key}".encode()).digest()
    offset = every * (int.from_bytes(digest[:4], "big") / 2**32)
    beginning = datetime(2020, 1, 1, tzinfo=now.tzinfo)
    return beginning + offset + every * ((now - beginning - offset) // every)
