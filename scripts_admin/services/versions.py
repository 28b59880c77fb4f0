"""Versions: every change of every file of a script folder is kept, also one that was made over SSH.

Whoever writes a file says so with `keep`, after the file is in its place. `look` finds by hash what nobody said.
"""

import logging
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, ProtectedError, QuerySet, Sum

from n2wbackup.lib import clock, compiled, terminal
from scripts_admin import linux_accounts
from scripts_admin.domain import texts
from scripts_admin.domain.texts import Kind
from scripts_admin.folders import reading, storage
from scripts_admin.folders.reading import Seen
from scripts_admin.models import Folder, ScriptApproval, ScriptText, ScriptVersion, User

log = logging.getLogger(__name__)
Source = ScriptVersion.Source

# A folder that changes for ever must not fill the database: what goes beyond is kept by name, size and hash.
DAY_BYTES = 64 * 1024 * 1024
_DAY = timedelta(days=1)
_JUST_NOW = timedelta(minutes=2)
FORGOTTEN_AT_ONCE = 200


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
        new = ScriptVersion(
            sha256=texts.digest(content), size=len(content), kind=texts.kind(content), mode=mode
        )
    new.folder, new.name, new.source, new.message = folder, name, source, message[:1000]
    new.author, new.author_name = author, author.username if author else author_name[:150]
    return _enter(new, content)


def keep_seen(folder: Folder, seen: Seen, known: ScriptVersion | None = None) -> ScriptVersion:
    """Keep a file as it was read from the folder; a new version is its Linux owner's, made over SSH.

    `known` is the newest version of this name, if the caller has just read it.
    """
    last = known or _newest(folder, seen.name)
    lacks_text = last is not None and last.text_id is None and seen.content is not None
    if last is not None and last.sha256 == seen.sha256 and not lacks_text:
        return last
    author, name = _owner(seen.uid)
    new = ScriptVersion(
        folder=folder,
        name=seen.name,
        sha256=seen.sha256,
        size=seen.size,
        kind=seen.kind,
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
    known = {one.name: one for one in newest(folder)}
    new = [made for name in found if (made := _look_at(folder, place / name, known.get(name)))]
    # One that is beyond the most files of a look is not gone, and neither is one that cannot be taken now.
    names = set(found)
    gone = [n for n, one in known.items() if not one.is_deleted and n not in names]
    for name in gone:
        with suppress(OSError):
            (place / name).lstat()
            continue
        new.append(keep(folder, name, None, author=None, author_name=_SOMEBODY, source=Source.SSH))
    return new


_SOMEBODY = "somebody over SSH"


def newest(folder: Folder, names: Collection[str] | None = None) -> list[ScriptVersion]:
    """Return the newest version of each file that the folder has or had, or of those with these names, sorted."""
    if names is not None:
        return _newest_of(folder.pk, sorted(names))
    return list(ScriptVersion.objects.filter(folder=folder, is_newest=True).order_by("name"))


@compiled.Reading
def _newest_of(folder: int, names: list[str]) -> QuerySet[ScriptVersion]:
    rows = ScriptVersion.objects.filter(folder=folder, is_newest=True, name__in=names)
    return rows.order_by("name")


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


def forget(before: datetime, using: QuerySet[Any]) -> int:
    """Delete a few versions that are older, with texts that no version has any more; return how many versions.

    The newest of a file and the one that is approved stay, and so does what `using` finds for OuterRef("pk").
    """
    approved = ScriptApproval.objects.filter(version=OuterRef("pk"), is_newest=True)
    old = ScriptVersion.objects.filter(at__lt=before, is_newest=False)
    gone = list(
        old.exclude(Exists(approved)).exclude(Exists(using)).order_by("at")[:FORGOTTEN_AT_ONCE]
    )
    ScriptVersion.objects.filter(pk__in=[one.pk for one in gone]).delete()
    _forget_texts({one.text_id for one in gone if one.text_id})
    return len(gone)


def _forget_texts(hashes: set[str]) -> None:
    used = ScriptVersion.objects.filter(text=OuterRef("pk"))
    with suppress(ProtectedError, IntegrityError), transaction.atomic():
        # One that somebody keeps again at this moment stays.
        ScriptText.objects.filter(~Exists(used), pk__in=hashes).delete()


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
        return _said(last, new, content)
    _fill(new, content)
    new.author_name = terminal.line(new.author_name)
    new.at = clock.now()
    ScriptVersion.objects.filter(folder=new.folder, name=new.name, is_newest=True).update(
        is_newest=False
    )
    new.save(force_insert=True)
    return new


def _fill(version: ScriptVersion, content: bytes | None) -> None:
    """Give the version its text, if that may be kept and there is room."""
    is_text = version.kind == Kind.TEXT and version.size <= texts.MAX_BYTES
    if is_text and content is not None and _has_room(version):
        version.text_id = _text(version.sha256, content)


def _said(last: ScriptVersion, new: ScriptVersion, content: bytes | None) -> ScriptVersion:
    """Return the newest version, which is the same as the new one, with the author who now says that it is theirs.

    A look may be faster than who has just written the file, and takes it for the Linux owner's.
    """
    if last.source == Source.SSH != new.source and clock.now() - last.at < _JUST_NOW:
        last.author, last.author_name = new.author, new.author_name
        last.source, last.message = new.source, new.message
        last.save(update_fields=["author", "author_name", "source", "message"])
    if last.text_id is None and content is not None:  # a look saw it while it had two names
        _fill(last, content)
        last.save(update_fields=["text"])
    return last


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
