"""One backup through the workers, and its proof: the ledger's own books, and its copy."""

import shutil
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings

from n2wbackup.demo import ledger
from n2wbackup.demo.aws import SimulatedAws, SimulatedSnapshot
from n2wbackup.demo.ledger import Books
from n2wbackup.demo.server import DemoError, Server
from n2wbackup.demo.stage import Stage
from n2wbackup.lib import clock
from policies.api import as_json
from policies.domain.runs import sequence
from policies.domain.runs.trigger import Trigger
from policies.selectors import labels
from policies.selectors import runs as runs_seen
from policies.services import runs

_RUN_SECONDS = 120
_LOOK_SECONDS = 0.25
_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Backup:
    """The result of one backup. Writes are transactions of the ledger; None if unknown.

    `copy` is the ledger in the snapshot; `aws_seconds` is the time of the call within the hold.
    """

    run: as_json.Json
    copy: Books
    aws_seconds: float | None = None
    writes_in_hold: int | None = None
    writes_in_second_before: int | None = None
    writes_in_second_after: int | None = None

    @property
    def is_good(self) -> bool:
        """Tell whether the backup succeeded and the copy proves it."""
        return (
            self.run["state"] == sequence.State.SUCCEEDED
            and self.writes_in_hold == 0
            and self.copy.balances
        )

    @property
    def hold_milliseconds(self) -> float | None:
        """Return how long the ledger was held for the snapshots."""
        seconds = self.run["hold_seconds"]
        return None if seconds is None else round(seconds * 1000, 1)

    def as_json(self) -> as_json.Json:
        """Return the run as every command shows it, and the proof with it."""
        return {
            "good": self.is_good,
            "hold_milliseconds": self.hold_milliseconds,
            "aws_milliseconds": self.aws_seconds and round(self.aws_seconds * 1000, 1),
            "writes_in_hold": self.writes_in_hold,
            "writes_in_second_before": self.writes_in_second_before,
            "writes_in_second_after": self.writes_in_second_after,
            "copy": self.copy.as_json(),
            "run": self.run,
        }


def make(stage: Stage, aws: SimulatedAws, server: Server) -> Backup:
    """Start a backup, wait for its end and check the result.

    Raises DemoError if it does not end, RefusedError if another one is running.
    """
    run = runs.start(policy=stage.policy, trigger=Trigger.MANUAL, requested_by="demo")
    deadline = clock.boottime() + _RUN_SECONDS
    while run.state not in sequence.ENDS:
        if clock.boottime() > deadline:
            raise DemoError(
                f"Run {run.pk} has not ended within {_RUN_SECONDS} s: its state is {run.state}."
            )
        server.wait(_LOOK_SECONDS)
        run.refresh_from_db()
    report = as_json.run(labels.run(str(run.pk)))
    return _look(report, stage, aws)


def ended(stage: Stage, aws: SimulatedAws, seen: Container[str]) -> Iterator[Backup]:
    """Yield the backups of the policy that have ended, without the runs in `seen`; oldest first."""
    for run in reversed(runs_seen.recent(policy=stage.policy)):
        if run.state in sequence.ENDS and str(run.id) not in seen:
            yield _look(as_json.run(labels.run(str(run.id))), stage, aws)


def _look(run: as_json.Json, stage: Stage, aws: SimulatedAws) -> Backup:
    made = [each for each in aws.snapshots() if each.tags.get("n2wbackup:run") == run["id"]]
    of_ledger = next((each for each in made if each.volume_id == stage.volume_id), None)
    before, after = run["phases"]["before"], run["phases"]["after"]
    calls = [call for call in aws.calls("CreateSnapshots") if not call.dry_run]
    if (
        of_ledger is None
        or of_ledger.copy is None
        or not (before["ended_at"] and after["ended_at"])
    ):
        return Backup(run, Books(problems=("There is no snapshot of the ledger.",)))
    frozen, held = _nanoseconds(before["started_at"]), _nanoseconds(before["ended_at"])
    released, thawed = _nanoseconds(after["started_at"]), _nanoseconds(after["ended_at"])
    copy, earlier = _restore(of_ledger, frozen)
    return Backup(
        run,
        copy,
        aws_seconds=calls[-1].service_seconds if calls else None,
        writes_in_hold=ledger.written_between(stage.ledger, held, released),
        writes_in_second_before=earlier,
        writes_in_second_after=ledger.written_between(stage.ledger, thawed, thawed + _SECOND_NS),
    )


def _restore(snapshot: SimulatedSnapshot, frozen_ns: int) -> tuple[Books, int]:
    """Start the ledger from its snapshot, as after a loss; count the writes of the last second before it froze.

    Only the copy has these transactions: in the live ledger complete has trimmed them.
    """
    if snapshot.copy is None or snapshot.copy_state != "done":
        return Books(problems=(f"The copy is {snapshot.copy_state}. {snapshot.copy_error}",)), 0
    volume = settings.N2W_HOME / "restored" / snapshot.snapshot_id
    shutil.copytree(snapshot.copy, volume)
    try:
        books = ledger.audit(volume / ledger.FILE)
        if not books.balances:
            return books, 0
        start = frozen_ns - _SECOND_NS
        return books, ledger.written_between(volume / ledger.FILE, start, frozen_ns)
    finally:
        shutil.rmtree(volume)


def _nanoseconds(moment: str) -> int:
    """Return a time of the report in nanoseconds since 1970."""
    since = datetime.fromisoformat(moment) - _EPOCH
    return since // timedelta(microseconds=1) * 1000
