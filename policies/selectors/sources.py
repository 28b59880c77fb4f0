"""From where a restore point can be read: its own snapshots, and each place that has copies of them.

A place is named as people write it: `eu-west-1` in the account of the run, `vault/eu-west-1` in another one. The empty
name is the snapshots themselves.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from policies.domain.errors import RefusedError
from policies.models import Account, Run, RunSnapshot, RunTarget
from policies.selectors import copies

ITSELF = ""


class Piece(NamedTuple):
    """One snapshot of a volume, to be read in this region with this account. None: the account was deleted."""

    snapshot_id: str
    volume_id: str
    region: str
    account: Account | None
    made: RunSnapshot  # the run's own, which this is or of which this is a copy
    place: str = ITSELF
    copy: UUID | None = None

    @property
    def target(self) -> RunTarget:
        return self.made.target


def of_run(run: Run) -> list[Piece]:
    """Return everything that the run can be restored from: its own snapshots first, then the copies by their places."""
    own = RunSnapshot.objects.filter(target__run=run, state=RunSnapshot.State.COMPLETED)
    rows = own.select_related("target__description").order_by("pk")
    account = run.account or (run.policy.account if run.policy else None)
    found = [Piece(row.snapshot_id, row.volume_id, row.target.region, account, row) for row in rows]
    return found + [
        Piece(
            one.snapshot_id,
            one.volume_id,
            one.region,
            one.account,
            one.source,
            copies.place(run.account_id, one.account, one.region),
            one.key,
        )
        for one in copies.usable(run)
    ]


def in_words(name: str) -> str:
    """Return "copy in vault, eu-west-1" of the name of a place; "" for the snapshots themselves."""
    return f"copy in {name.replace('/', ', ')}" if name else ""


def places(pieces: Sequence[Piece]) -> list[str]:
    """Return the names of the places that have copies."""
    return list(dict.fromkeys(piece.place for piece in pieces if piece.place))


def within(run: Run, pieces: Sequence[Piece], name: str) -> list[Piece]:
    """Return the pieces of the place, or of the place that has the copy with this id; RefusedError if there is none.

    Without a name: all pieces, so that whoever chooses takes the first.
    """
    if not name:
        return list(pieces)
    copied = [piece for piece in pieces if piece.copy]
    named = next((piece.place for piece in copied if piece.snapshot_id == name), name)
    found = [piece for piece in copied if piece.place == named]
    if not found:
        known = ", ".join(places(pieces))
        advice = f"choose one of {known}" if known else "it has no usable copy"
        raise RefusedError(f"Run {run.pk} has no usable copy in {name[:80]}: {advice}.")
    return found
