"""Opened snapshots and what is in them, as rows for pages. Every name was chosen by somebody else."""

import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import QuerySet

from policies.domain.browsing import paths
from policies.models import Copy, OpenedSnapshot, RunSnapshot
from policies.ports.images import Entry

_OF_SNAPSHOT = ("target__run__policy", "target__run__account__owner", "target__run__owner")
_KINDS = {"file": stat.S_IFREG, "folder": stat.S_IFDIR, "link": stat.S_IFLNK}


class FileRow(NamedTuple):
    """A file, folder, link or something else."""

    name: str
    token: str  # of its path
    above: str  # the folder that it is in, as people write it
    above_token: str
    kind: str
    size: int | None
    modified_at: datetime | None
    mode: str
    owner: str
    target: str


def whole() -> QuerySet[OpenedSnapshot]:
    """Return all opened snapshots, with what their pages need of other rows."""
    return OpenedSnapshot.objects.select_related(
        "run__policy__owner",
        "run__policy__folder",
        "run__account",
        "run__owner",
        "snapshot__target",
        "copy__account__owner",
    )


def snapshots() -> QuerySet[RunSnapshot]:
    """Return all snapshots, with what is needed to open one."""
    return RunSnapshot.objects.select_related(*_OF_SNAPSHOT)


def copies() -> QuerySet[Copy]:
    """Return all copies, with what is needed to open one beside its source."""
    return Copy.objects.select_related("account__owner")


def of_snapshot(snapshot: RunSnapshot, copy: Copy | None, server: str) -> OpenedSnapshot | None:
    """Return the snapshot, or that copy of it, as it is open on this server, or on the way there."""
    rows = OpenedSnapshot.objects.filter(snapshot=snapshot, copy=copy, server=server, ended_at=None)
    return rows.order_by("-asked_at").first()


def rows(entries: Sequence[Entry]) -> Sequence[FileRow]:
    """Return what a page shows of each entry."""
    return [_row(entry) for entry in entries]


def _row(entry: Entry) -> FileRow:
    above = paths.above(entry.path)
    return FileRow(
        name=paths.shown(entry.name),
        token=paths.token(entry.path),
        above=paths.shown_path(above),
        above_token=paths.token(above),
        kind=entry.kind,
        size=entry.size if entry.kind == "file" else None,
        modified_at=_moment(entry.modified_at),
        mode=stat.filemode(_KINDS.get(entry.kind, 0) | stat.S_IMODE(entry.mode)),
        owner=f"{entry.uid}:{entry.gid}",
        target=paths.shown(entry.target),
    )


def _moment(seconds: float) -> datetime | None:
    """Return the moment; None for one that no calendar has, as a file system may say anything."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
