"""What people do with the files of a script folder: each deed is done whole or not at all, and is entered.

The file comes first and its rows after it. If the process dies between, the next look at the folder finds the change
by its hash; the other way round, rows would tell of a change that never was.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from django.db import transaction

from n2wbackup.lib import clock
from scripts_admin.domain import file_names, names, private_keys, texts
from scripts_admin.domain.audit import Action, Change, Kind, Source
from scripts_admin.domain.shown import shown
from scripts_admin.folders import looking, reading, room, storage, writing
from scripts_admin.folders.looking import ChangedError, File, FileError
from scripts_admin.models import Folder, User
from scripts_admin.services import approvals, audit, folders, versions
from scripts_admin.services.audit import Subject

KEPT_DAYS = 30  # a deletion can be undone for so long
_DAY_SECONDS = 86_400
_LISTED = 12


@dataclass(frozen=True, slots=True)
class _Kept:
    """A version to be kept. `content` None: the file is gone, or its content is none of ours."""

    name: str
    content: bytes | None
    mode: int = 0
    message: str = ""
    source: str = ""
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody saves. `opened` is the version that they had before them, empty for a new file."""

    name: str
    content: bytes
    opened: str = ""
    executable: bool | None = None  # None: as it was; a new file gets what its first line asks for
    message: str = ""
    source: str = (
        ""  # of the version, where it is not the page or the command that this is called by
    )


def save(folder: Folder, text: Text, *, actor: User) -> None:
    """Save a file; ChangedError if it is not what the person had before them, FileError if it is refused."""
    is_new = not text.opened
    _check(text.name if is_new else "", text.content)
    if is_new:
        _on_disk(folder)
    now = texts.digest(text.content)
    with looking.opened(folder) as place:
        if now == text.opened:
            _leave_to_author(folder, text.name)
        room.check(folder, place, {text.name: text.content})
        writing.put(place, text.name, text.content, opened=text.opened, executable=text.executable)
        mode = _mode(place, text.name)
    changes = [] if now == text.opened else [Change("sha256", text.opened[:_LISTED], now[:_LISTED])]
    if text.executable is not None:
        changes.append(Change("executable", "", "yes" if text.executable else "no"))
    action = Action.CREATED if is_new else Action.CHANGED
    with transaction.atomic():
        if now != text.opened:
            kept = _Kept(text.name, text.content, mode, text.message, text.source)
            _keep(folder, kept, actor)
        _enter(action, folder, text.name, changes, actor)


def upload(folder: Folder, name: str, content: bytes, *, replace: bool, actor: User) -> None:
    """Save a file that came from somebody's machine, as it is; with `replace`, also over one that is there.

    What is replaced and is no text is set aside first, as if it had been deleted.
    """
    _check(name, content)
    opened = ""
    if replace:
        _on_disk(folder)
        with looking.opened(folder) as place:
            found = looking.read(place, name)
        if found is not None and found.content is None:
            delete(folder, name, opened=found.entry.version, actor=actor)
        elif found is not None:
            opened = found.entry.version
    save(folder, Text(name, content, opened, message="uploaded"), actor=actor)


def save_all(folder: Folder, files: Mapping[str, bytes], *, actor: User) -> None:
    """Make several new files, or none of them: FileError if one of them is there already or is refused."""
    for name, content in files.items():
        _check(name, content)
    _on_disk(folder)
    with looking.opened(folder) as place:
        there = [shown(name) for name in files if looking.exists(place, name)]
        if there:
            names = ", ".join(there)
            message = (
                f"{names}: there already, so nothing was made. Rename or delete these files first."
            )
            raise FileError(message)
        room.check(folder, place, files)
        _put_all(place, files)
        modes = {name: _mode(place, name) for name in files}
    with transaction.atomic():
        for name, content in files.items():
            _keep(folder, _Kept(name, content, modes[name]), actor)
            _enter(Action.CREATED, folder, name, [], actor)


def _put_all(place: int, files: Mapping[str, bytes]) -> None:
    done: list[str] = []
    try:
        for name, content in files.items():
            writing.put(place, name, content, opened="")
            done.append(name)
    except FileError:
        for name in done:
            writing.take_back(place, name, opened=texts.digest(files[name]))
        raise


def rename(folder: Folder, name: str, to: str, *, opened: str, actor: User) -> None:
    """Give a file another name that is free; what it holds and who may use it stay."""
    _check(to, b"")
    with looking.opened(folder) as place:
        _leave_to_author(folder, name)
        writing.rename(place, name, to, opened=opened)
        found = looking.read(place, to)
    with transaction.atomic():
        _moved(folder, name, to, found, actor)


def delete(folder: Folder, name: str, *, opened: str, actor: User) -> str:
    """Set a file aside in its folder, for KEPT_DAYS; return the hidden name that `undelete` takes."""
    second = int(clock.now().timestamp())
    with looking.opened(folder) as place:
        _leave_to_author(folder, name)
        hidden = writing.set_aside(place, name, second, opened=opened)
        listed, _ = looking.listed(place, is_root=folder.is_root)
        writing.forget(place, listed, before=second - KEPT_DAYS * _DAY_SECONDS)
    with transaction.atomic():
        _keep(folder, _Kept(name, None, is_gone=True), actor)
        _enter(Action.DELETED, folder, name, [Change("set aside as", "", hidden)], actor)
    return hidden


def undelete(folder: Folder, hidden: str, *, actor: User) -> str:
    """Bring back a file that was set aside, unless its name is taken by now; return the name."""
    with looking.opened(folder) as place:
        name = writing.bring_back(place, hidden)
        found = looking.read(place, name)
    with transaction.atomic():
        if found:
            _keep(folder, _Kept(name, found.content, found.entry.mode, "brought back"), actor)
        _enter(Action.UNDELETED, folder, name, [], actor)
    return name


@dataclass(frozen=True, slots=True)
class Copy:
    """A file, and where a copy of it goes."""

    name: str
    opened: str
    target: Folder
    to: str


def copy(folder: Folder, wanted: Copy, *, actor: User) -> None:
    """Copy a text under a name that is free, into this folder or another one; the right to run it goes along."""
    with looking.opened(folder) as place:
        _leave_to_author(folder, wanted.name)
        found = looking.read(place, wanted.name)
    if found is None or found.entry.version != wanted.opened:
        message = f"{shown(wanted.name)} has changed since you opened it. Nothing was copied."
        raise ChangedError(message, found)
    if found.content is None:
        raise FileError(found.entry.why)
    runs = bool(found.entry.mode & 0o111)
    made = Text(
        wanted.to, found.content, executable=runs, message=f"copied from {folder}/{wanted.name}"
    )
    save(wanted.target, made, actor=actor)


@contextmanager
def renamed_with_policy(folder: Folder, policy: str, to: str, *, actor: User) -> Iterator[int]:
    """Rename the scripts of a policy with it: the block saves the policy, in a transaction of its own.

    Yields how many files these are. Within the block each file has both names, so whichever name a run knows, it
    finds its script. If the block fails, nothing is renamed; FileError if a new name is taken.
    """
    if not storage.path(folder).exists():
        yield 0
        return
    with looking.opened(folder) as place:
        listed, _ = looking.listed(place, is_root=folder.is_root)
        pairs = file_names.renamed(listed, policy, to)
        for _, new in pairs:
            _check(new, b"")
        found = {new: looking.read(place, name) for name, new in pairs}
        for name, _ in pairs:
            _leave_to_author(folder, name)
        with writing.both_names(place, pairs):
            yield len(pairs)
    with transaction.atomic():
        for name, new in pairs:
            _moved(folder, name, new, found[new], actor)
            approvals.moved(folder, name, new)


def _check(name: str, content: bytes) -> None:
    """FileError if a new file may not have this name (empty: it has it already), or may not hold this."""
    why = file_names.why_not_given(name) if name else ""
    if why:
        raise FileError(f"{why} Nothing was saved.")
    if len(content) > texts.MAX_BYTES:
        most = texts.MAX_BYTES // 1024**2
        message = f"A file may have {most} MiB here. Nothing was saved: copy a larger one over SSH."
        raise FileError(message)
    if private_keys.is_in(content):
        message = (
            "This text holds a private key, and a file that is saved here can be read by all who may use the "
            "folder. Nothing was saved: bring the key in on the folder's page of SSH keys, or over SSH."
        )
        raise FileError(message)


def _on_disk(folder: Folder) -> None:
    try:
        folders.on_disk(folder)
    except OSError as error:
        message = f"The script folder of {folder} cannot be made ({error.strerror}): correct what is in its place."
        raise FileError(message) from None


def _moved(folder: Folder, name: str, to: str, found: File | None, actor: User) -> None:
    if found:
        message = f"renamed from {shown(name)}"
        _keep(folder, _Kept(to, found.content, found.entry.mode, message), actor)
    gone = _Kept(name, None, message=f"renamed to {shown(to)}", is_gone=True)
    _keep(folder, gone, actor)
    _enter(Action.RENAMED, folder, to, [Change("name", shown(name), shown(to))], actor)


def _keep(folder: Folder, file: _Kept, actor: User) -> None:
    """Keep the version of a file that is in its place now; of what is not shown the next look keeps the hash."""
    if file.content is None and not file.is_gone:
        return
    versions.keep(
        folder,
        file.name,
        file.content,
        author=actor,
        source=file.source or _source(),
        message=file.message,
        mode=file.mode,
    )


def _source() -> str:
    by_command = audit.edge().source == Source.COMMAND
    return versions.Source.COMMAND if by_command else versions.Source.PAGE


def _leave_to_author(folder: Folder, name: str) -> None:
    """Keep what lies there as its own author's, before another person gives the same text a new name or mode.

    Else a text that was written over SSH, and that no look has found yet, would be taken for the other person's.
    """
    if "/" in name or names.is_ignored(name) or not names.is_showable(name):
        return
    with suppress(OSError):  # what is no regular file, or is gone, has no versions
        versions.keep_seen(folder, reading.see(folder, storage.path(folder) / name))


def _mode(place: int, name: str) -> int:
    found = looking.glance(place, name)
    return found.mode if found else 0


def _enter(action: Action, folder: Folder, name: str, changes: list[Change], actor: User) -> None:
    label = f"{folder.name}/{shown(name)}"
    subject = Subject(Kind.SCRIPT, label, str(folder.pk or ""), folder.owner_id)
    audit.record(action, subject, changes, person=actor)
