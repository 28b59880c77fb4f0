"""What the tags of snapshots say about the server that made them. Pure.

Tags are what anybody with the right to tag has written: names are shown, and never believed. Whose a restore point
is, is said by the account that it was found in.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from policies.domain import identifiers
from policies.domain.runs.verdict import Consistency
from scripts_admin.domain import names

SERVER, RUN, COPY = "n2wbackup:server", "n2wbackup:run", "n2wbackup:copy"
# A server whose newest snapshot is younger may well be alive.
RECENT = timedelta(hours=48)
NO_NAME = "unknown"


@dataclass(frozen=True, slots=True)
class Piece:
    """A snapshot with a server's tag, where it was found, and what its tags say."""

    snapshot_id: str
    volume_id: str  # of a copy: that of its source
    region: str
    state: str
    started_at: datetime
    size_gib: int
    tags: Mapping[str, str]

    @property
    def copy(self) -> UUID | None:
        return _uuid(self.tags.get(COPY, ""))

    @property
    def instance_id(self) -> str:
        """The instance that the volume was attached to; "" if no tag names one."""
        said = self.tags.get("n2wbackup:instance") or self.tags.get("Name", "").rpartition(" ")[2]
        return said if identifiers.is_instance_id(said) else ""

    @property
    def consistency(self) -> Consistency:
        """What nobody has entered, or a word that nobody knows, is no more than crash-consistent."""
        said = self.tags.get("n2wbackup:consistency", "")
        return Consistency.APPLICATION if said == Consistency.APPLICATION else Consistency.CRASH


class Point(NamedTuple):
    """A restore point of a lost server: the snapshots of one of its runs, and their copies."""

    server: str
    run: UUID
    policy: str
    owner: str
    at: datetime
    originals: tuple[Piece, ...]
    copies: tuple[Piece, ...]

    @property
    def consistency(self) -> Consistency:
        worth = {piece.consistency for piece in (*self.originals, *self.copies)}
        return Consistency.CRASH if Consistency.CRASH in worth else Consistency.APPLICATION


def points(pieces: Iterable[Piece]) -> tuple[list[Point], list[Piece]]:
    """Return the restore points, newest first, and what has a server's tag but no run that can be read."""
    runs: defaultdict[tuple[str, UUID], list[Piece]] = defaultdict(list)
    unread = []
    for piece in pieces:
        run, server = _uuid(piece.tags.get(RUN, "")), _uuid(piece.tags.get(SERVER, ""))
        if run is None or server is None or (COPY in piece.tags and piece.copy is None):
            unread.append(piece)
        else:
            runs[str(server), run].append(piece)
    found = [_point(server, run, ones) for (server, run), ones in runs.items()]
    return sorted(found, key=lambda point: (point.at, str(point.run)), reverse=True), unread


def _point(server: str, run: UUID, pieces: list[Piece]) -> Point:
    ordered = sorted(pieces, key=lambda piece: (piece.started_at, piece.snapshot_id))
    originals = tuple(piece for piece in ordered if piece.copy is None)
    copies = tuple(piece for piece in ordered if piece.copy is not None)
    tags = ordered[0].tags
    return Point(
        server=server,
        run=run,
        policy=_policy(tags.get("n2wbackup:policy", "")),
        owner=tags.get("n2wbackup:owner", ""),
        at=_at(originals, copies),
        originals=originals,
        copies=copies,
    )


def _at(originals: tuple[Piece, ...], copies: tuple[Piece, ...]) -> datetime:
    """Return when the snapshots were made; copies are younger, but tell it."""
    if originals:
        return originals[0].started_at
    said = copies[0].tags.get("n2wbackup:fired-at", "")
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        return copies[0].started_at
    return found if found.tzinfo and found <= copies[0].started_at else copies[0].started_at


def _policy(said: str) -> str:
    return said if names.is_policy_name(said) else NO_NAME


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def may_be_alive(newest: datetime, now: datetime) -> bool:
    """Tell whether a server that this database does not know may still make backups."""
    return now - newest < RECENT
