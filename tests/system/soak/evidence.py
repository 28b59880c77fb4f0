"""The evidence in the end: rows, marks, AWS's snapshots, and remaining processes and files."""

import fcntl
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis

from tests.system.product import POLICY
from tests.system.soak import estate as estates
from tests.system.soak.estate import Estate, Mark
from tests.system.soak.judge_growth import Limits
from tests.system.soak.striking import Strike
from tests.system.soak.watching import Stretch, Watch

_RUNS = """
    SELECT id, policy_name, state, consistency, reason, scheduled_for, due_count, due_until, created_at,
    started_at, ended_at, thaw_by, tags_due
    FROM policies_run WHERE policy_name != ? ORDER BY created_at
"""
# What ran on the instance comes last: the server has no such script then.
_PHASES = """
    SELECT run_id, phase, outcome FROM policies_phaseresult WHERE attempt = 1 ORDER BY target_id IS NOT NULL
"""
_THERE = "SELECT run_id, thaw_by FROM policies_runtarget"
_SNAPSHOTS = """
    SELECT t.run_id, s.snapshot_id, s.state, t.consistency FROM policies_runsnapshot s
    JOIN policies_runtarget t ON t.id = s.target_id
"""
_UNSENT = """
    SELECT 'delivery ' || id || ' ' || state || ' ' || reason FROM policies_alarmdelivery WHERE state != 'sent'
    UNION ALL
    SELECT 'alarm ' || id || ' ' || title FROM policies_alarm WHERE spread_at IS NULL AND not_before < ?
"""
QUEUES = ("freeze", "tick", "work")


@dataclass(slots=True)
class Snapshot:
    """A snapshot as the rows have it."""

    id: str
    state: str
    consistency: str  # of its target


@dataclass(slots=True)
class Run:
    """A run as the rows have it. Times are UNIX seconds; `phases`: the outcome of each first attempt."""

    id: str
    policy: str
    state: str
    consistency: str
    reason: str
    scheduled_for: float
    created_at: float
    ended_at: float
    due_count: int = 1
    due_until: float | None = None
    started_at: float | None = None
    thaw_by: str = ""
    is_remote: bool = False  # its before and after run on an instance
    thaw_there: str = ""  # who began to thaw there
    tags_due: bool = False
    phases: dict[str, str] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)


@dataclass(slots=True)
class Made:
    """A snapshot as AWS has it."""

    id: str
    set_id: str
    state: str
    tags: dict[str, str]


@dataclass(slots=True)
class Evidence:
    """All of it, for the judge. `due`: the first and the last due minute, as UNIX seconds.

    `followed`: those between which what processes hold is followed, by these `limits`.

    `tables`: rows of each table at the start and in the end. `left`: sentences on what should be gone.
    """

    due: tuple[float, float]
    policies: Sequence[str]
    runs: list[Run]
    marks: dict[str, list[Mark]]
    made: dict[str, list[Made]]  # by run
    strikes: list[Strike]
    followed: tuple[float, float]
    limits: Limits
    stretches: list[Stretch] = field(default_factory=list)
    tables: dict[str, tuple[int, int]] = field(default_factory=dict)
    watched: list[str] = field(default_factory=list)  # what the watch complained of
    left: list[str] = field(default_factory=list)


def runs(estate: Estate) -> list[Run]:
    """Return every run of the soak's policies."""
    found = {row[0]: _run(row) for row in estate.query(_RUNS, POLICY)}
    for run in found.values():
        run.is_remote = run.policy in estate.remote
    for key, by in estate.query(_THERE):
        if key in found:
            found[key].thaw_there = by
    for key, phase, outcome in estate.query(_PHASES):
        if key in found:
            found[key].phases[phase] = outcome
    for key, *words in estate.query(_SNAPSHOTS):
        if key in found:
            found[key].snapshots.append(Snapshot(*words))
    return list(found.values())


def _run(row: tuple[Any, ...]) -> Run:
    (
        key, policy, state, consistency, reason, scheduled_for, count, until, created_at,
        started_at, ended_at, thaw_by, tags_due,
    ) = row  # fmt: skip
    return Run(
        id=str(UUID(key)),
        policy=policy,
        state=state,
        consistency=consistency,
        reason=reason,
        scheduled_for=_seconds(scheduled_for) or 0.0,
        created_at=_seconds(created_at) or 0.0,
        ended_at=_seconds(ended_at) or 0.0,
        due_count=count,
        due_until=_seconds(until),
        started_at=_seconds(started_at),
        thaw_by=thaw_by,
        tags_due=bool(tags_due),
    )


def _seconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def made(estate: Estate) -> dict[str, list[Made]]:
    """Return what AWS has of each run, by its tag."""
    found: dict[str, list[Made]] = defaultdict(list)
    for one in estate.product.aws.snapshots():
        run = one.tags.get("n2wbackup:run", "")
        found[run].append(Made(one.snapshot_id, one.set_id, one.state, dict(one.tags)))
    return dict(found)


def tables(estate: Estate) -> dict[str, int]:
    """Return how many rows each table has."""
    names = estate.query(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return {name: int(estate.query(f"SELECT count(*) FROM {name}")[0][0]) for (name,) in names}  # noqa: S608 - names from the database itself


def _is_of_the_living(folder: Path) -> bool:
    """Tell whether it is the folder for temporary files of a process that runs."""
    if not folder.name.startswith("tmp-"):
        return False
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(held)
    return False


def left(estate: Estate, programs: Sequence[str]) -> list[str]:
    """Return a sentence on everything that runs leave behind; `programs` are the titles of a server at rest."""
    spool = sorted(path.name for path in (estate.product.home / "spool").iterdir())
    memory = sorted(
        path.name
        for path in estate.product.memory.iterdir()
        if path.is_dir() and not _is_of_the_living(path)
    )
    now = titles(estate)
    found = {
        "frozen": sorted(path.name for path in estate.frozen.iterdir()),
        "guards": [f"{pid} {estates.title(pid)}" for pid in estate.guards()],
        "scripts": [f"{pid} {estates.title(pid)}" for pid in estate.scripts()],
        "on the instances": [f"{pid} {estates.title(pid)}" for pid in estate.there()],
        "in the spool": spool,
        "in memory": memory,
        "programs that were not there": _more(now, programs),
        "programs that are not there": _more(programs, now),
        "hints": _hints(estate),
        "alarms that were not sent": _unsent(estate),
        "the page": _page(estate),
    }
    return [f"{what}: {which}" for what, which in found.items() if which]


def titles(estate: Estate) -> list[str]:
    """Return the titles of the server's own processes, in order."""
    shown = (estates.title(pid) for pid in estate.supervised())
    return sorted(" ".join(text.split()) for text in shown if text.startswith("n2wbackup"))


def _more(ones: Sequence[str], others: Sequence[str]) -> list[str]:
    return sorted((Counter(ones) - Counter(others)).elements())


def _hints(estate: Estate) -> list[str]:
    """Return the queues that hold more than the beat of a few seconds."""
    with Redis(unix_socket_path=str(estate.broker), socket_timeout=5) as broker:
        lengths = {name: int(broker.llen(name)) for name in QUEUES}
    return [f"{length} in {name}" for name, length in lengths.items() if length > len(QUEUES)]


def _unsent(estate: Estate) -> list[str]:
    """Return the alarms that are due and not at their receiver; what is held back for an hour is not due."""
    now = datetime.now(tz=UTC)
    return [text for (text,) in estate.query(_UNSENT, f"{now:%Y-%m-%d %H:%M:%S.%f}")]


def _page(estate: Estate) -> str:
    answer = estate.visit()
    return "" if answer == "200" else f"it answers {answer}"


def survivors(watch: Watch) -> list[str]:
    """Return the processes that were ever seen and are still alive, once the server has ended."""
    return [
        f"{pid} {shown}" for (pid, born), shown in watch.seen.items() if estates.born(pid) == born
    ]
