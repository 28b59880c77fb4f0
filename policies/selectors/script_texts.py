"""Texts of scripts as pages show them: a version, and how it differs from another and from the file as it is now."""

from typing import NamedTuple

from n2wbackup.lib import differences
from n2wbackup.lib.differences import Line
from scripts_admin.domain.shown import shown
from scripts_admin.domain.texts import Kind
from scripts_admin.folders import looking
from scripts_admin.folders.looking import FileError
from scripts_admin.models import Folder, ScriptVersion
from scripts_admin.services import versions


class Difference(NamedTuple):
    """How two texts differ. `why` is a sentence if that cannot be shown; no lines: they are the same."""

    lines: tuple[Line, ...] = ()
    why: str = ""

    @property
    def is_same(self) -> bool:
        return not self.lines and not self.why


class TextPage(NamedTuple):
    """A version: its lines, or why they are not there; `to_now` is None if the file is as it was."""

    lines: tuple[str, ...]
    why: str
    to_now: Difference
    is_now: bool  # the file in the folder is this very version
    opened: str  # the hash of the file in the folder, empty if there is none


def of_version(version: ScriptVersion) -> TextPage:
    """Return a version, beside the file as it is in the folder at this moment."""
    content = versions.content(version)
    now, sha256, why_not = in_folder(version.folder, version.name)
    return TextPage(
        lines=tuple(content.decode("utf-8", "replace").split("\n")) if content is not None else (),
        why=why_not_kept(version),
        to_now=Difference(why=why_not)
        if why_not
        else between(version, content, now, "The file in the folder"),
        is_now=sha256 == version.sha256,
        opened=sha256,
    )


def of_two(before: ScriptVersion | None, after: ScriptVersion) -> Difference:
    """Return how a version differs from an earlier one; None is an empty text."""
    old = versions.content(before) if before is not None and not before.is_deleted else b""
    new = versions.content(after) if not after.is_deleted else b""
    if before is not None and before.sha256 == after.sha256:
        return Difference()
    if old is None and before is not None:
        return Difference(why=why_not_kept(before))
    if new is None:
        return Difference(why=why_not_kept(after))
    return _between(old or b"", new)


def between(
    version: ScriptVersion, content: bytes | None, now: bytes | None, what: str
) -> Difference:
    if content is None:
        return Difference(why=why_not_kept(version))
    if now is None:
        return Difference(why=f"{what} is gone.")
    return _between(content, now)


def _between(before: bytes, after: bytes) -> Difference:
    if before == after:
        return Difference()
    found = differences.lines(before.decode("utf-8", "replace"), after.decode("utf-8", "replace"))
    if found is None:
        return Difference(why="The texts are too long and too different to be compared here.")
    return Difference(tuple(found))


def in_folder(folder: Folder, name: str) -> tuple[bytes | None, str, str]:
    """Return what the file holds now, its hash, and a sentence if it is there and cannot be shown."""
    try:
        with looking.opened(folder) as place:
            found = looking.read(place, name)
    except FileError as error:
        return None, "", str(error)
    if found is None:
        return None, "", ""
    if found.content is None:
        return None, "", found.entry.why
    return found.content, found.entry.version, ""


def why_not_kept(version: ScriptVersion) -> str:
    """Return a sentence that says why a version has no text; "" if it has one."""
    said = shown(version.name)
    if version.is_deleted:
        return f"{said} was deleted here, so this version has no text."
    if version.text_id is not None:
        return ""
    if version.kind == Kind.KEY:
        return f"{said} held a private key, so only its size and its hash are kept."
    if version.kind == Kind.BINARY:
        return f"{said} was no text (UTF-8), so only its size and its hash are kept."
    return f"{said} was too long, or changed too often that day, so only its size and its hash are kept."
