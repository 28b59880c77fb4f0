"""Versions: every change of every file of a script folder is kept, also one that was made over SSH.

Whoever writes a file says so with `keep`, after the file is in its place. `look` finds by hash what nobody said.
"""

import hashlib
import logging
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.db import transaction
from django.db.models import Sum

from n2wbackup.lib import clock, terminal
from scripts_admin import linux_accounts
from scripts_admin.domain import contents
from scripts_admin.domain.contents import Contents
from scripts_admin.folders import reading, storage
from scripts_admin.folders.reading import Seen
from scripts_admin.models import Folder, ScriptText, ScriptVersion, User

log = logging.getLogger(__name__)
Source = ScriptVersion.Source

# A folder that changes for ever must not fill the database: what goes beyond is kept by name, size and hash.
DAY_BYTES = 64 * 1024 * 1024
_DAY = timedelta(days=1)


@transaction.atomic
def keep(
    folder: Folder,
    name: str,
    content: bytes | None,
    *,
    author: User | None,
    source: str,
    message: str = "",
    author_name: str = "",
    mode: int = 0o750,
) -> ScriptVersion:
    """Keep a file as it is now, and return its newest version; `content` None: the file was deleted.

    Nothing is entered if the newest version is the same. Of a private key, of a file that is no text and of a long
    one only name, size and hash are kept. `author_name` is for an author who is no user of ours.
    """
    if content is None:
        new = ScriptVersion(is_deleted=True)
    else:
        kind = contents.kind(name, content)
        new = ScriptVersion(
            sha256=hashlib.sha256(content).hexdigest(), size=len(content), contents=kind, mode=mode
        )
    new.folder, new.name, new.source, new.message = folder, name, source, message[:1000]
    new.author, new.author_name = author, author.username if author else author_name[:150]
    return _enter(new, content)


def keep_seen(folder: Folder, seen: Seen) -> ScriptVersion:
    """Keep a file as it was read from the folder; a new version is its Linux owner's, made over SSH."""
    newest = _newest(folder, seen.name)
    if newest is not None and newest.sha256 == seen.sha256:
        return newest
    author, name = _owner(seen.uid)
    new = ScriptVersion(
        folder=folder,
        name=seen.name,
        sha256=seen.sha256,
        size=seen.size,
        contents=seen.kind,
        mode=seen.mode,
        author=author,
        author_name=name,
        source=Source.SSH,
    )
    with transaction.atomic():
        return _enter(new, seen.content)


def look(folder: Folder) -> list[ScriptVersion]:
    """Keep what was changed in the folder since the last look, and return the new versions.

    A file that cannot be taken as a script has no versions. A folder that is not there, or cannot be read, is not
    an empty one: nothing counts as deleted.
    """
    place = storage.path(folder)
    try:
        found = reading.worth_looking(folder) if place.is_dir() else None
    except OSError:
        found = None
    if found is None:
        return []
    known = {each.name: each for each in newest(folder)}
    new = [made for name in found if (made := _look_at(folder, place / name, known.get(name)))]
    # One that is beyond the most files of a look is not gone, and neither is one that cannot be taken now.
    gone = [name for name, each in known.items() if not each.is_deleted and name not in set(found)]
    for name in gone:
        with suppress(OSError):
            (place / name).lstat()
            continue
        new.append(keep(folder, name, None, author=None, author_name=_SOMEBODY, source=Source.SSH))
    return new


_SOMEBODY = "somebody over SSH"


def newest(folder: Folder) -> list[ScriptVersion]:
    """Return the newest version of each file that the folder has or had, sorted by name."""
    rows = ScriptVersion.objects.filter(folder=folder, is_newest=True)
    return list(rows.order_by("name"))


def history(folder: Folder, name: str) -> list[ScriptVersion]:
    """Return the versions of a file, newest first."""
    rows = ScriptVersion.objects.filter(folder=folder, name=name).select_related("author")
    return list(rows.order_by("-pk"))


def content(version: ScriptVersion) -> bytes | None:
    """Return the bytes of a version; None if they are not kept."""
    if version.text_id is None:
        return None
    row = ScriptText.objects.filter(pk=version.text_id).first()
    return bytes(row.content) if row is not None else None


def _look_at(folder: Folder, script: Path, known: ScriptVersion | None) -> ScriptVersion | None:
    try:
        if known is not None and reading.sha256(folder, script) == known.sha256:
            return None
        seen = reading.see(folder, script)
    except OSError:
        return None
    made = keep_seen(folder, seen)
    return None if made == known else made


def _newest(folder: Folder, name: str) -> ScriptVersion | None:
    return ScriptVersion.objects.filter(folder=folder, name=name, is_newest=True).first()


def _owner(uid: int) -> tuple[User | None, str]:
    name = linux_accounts.name_of(uid)
    return User.objects.filter(username=name).first(), name


def _enter(new: ScriptVersion, content: bytes | None) -> ScriptVersion:
    """Enter the version behind the newest one; the caller is in a transaction."""
    # One at a time in a folder: two looks must not keep the same change twice.
    Folder.objects.select_for_update().filter(pk=new.folder_id).first()
    last = _newest(new.folder, new.name)
    if last is not None and (last.sha256, last.is_deleted) == (new.sha256, new.is_deleted):
        return last
    if new.contents == Contents.TEXT and content is not None and _has_room(new):
        new.text_id = _text(new.sha256, content)
    new.author_name = terminal.line(new.author_name)
    new.at = clock.now()
    ScriptVersion.objects.filter(folder=new.folder, name=new.name, is_newest=True).update(
        is_newest=False
    )
    new.save(force_insert=True)
    return new


def _has_room(new: ScriptVersion) -> bool:
    if ScriptText.objects.filter(pk=new.sha256).exists():
        return True
    today = ScriptVersion.objects.filter(
        folder=new.folder, at__gt=clock.now() - _DAY, text__isnull=False
    )
    used = today.aggregate(sum=Sum("size"))["sum"] or 0
    return bool(used + new.size <= DAY_BYTES)


def _text(sha256: str, content: bytes) -> str:
    """Store the text if it is not there; it stays until the transaction ends, whoever deletes old ones."""
    if not ScriptText.objects.select_for_update().filter(pk=sha256).exists():
        ScriptText.objects.bulk_create(
            [ScriptText(sha256=sha256, content=content)], ignore_conflicts=True
        )
    return sha256
