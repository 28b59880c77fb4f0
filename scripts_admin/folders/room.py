"""How much a script folder holds, and whether there is room for more.

The pages save nothing that a folder has no room for. Over SSH only the disk's own quota stops somebody; what came in
that way is counted all the same, and the folder's page tells it.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from scripts_admin.domain import file_names
from scripts_admin.domain.shown import shown
from scripts_admin.folders import looking, writing
from scripts_admin.folders.looking import FileError
from scripts_admin.models import Folder

_MIB = 1024**2
# Each level that is looked at holds a descriptor of this process, which serves others meanwhile.
MOST_LEVELS = 30


@dataclass(frozen=True, slots=True)
class Held:
    """What is in a folder, its subfolders and deleted files among it. A count stops at the first file too many.

    `is_deep`: there are folders within folders so deep that nobody has looked into the last ones.
    """

    files: int
    size: int
    is_deep: bool = False

    @property
    def most_files(self) -> int:
        return int(settings.N2W_FOLDER_FILES)

    @property
    def most_size(self) -> int:
        return int(settings.N2W_FOLDER_MIB) * _MIB

    @property
    def is_too_much(self) -> bool:
        return self.is_deep or self.files > self.most_files or self.size > self.most_size


def held(place: int, *, is_root: bool) -> Held:
    """Count what is in an opened folder; no link is followed. In root's folder, those of the users are left out."""
    files, size, most = 0, 0, int(settings.N2W_FOLDER_FILES)
    is_deep = False
    for at, folders, names, found in os.fwalk(".", follow_symlinks=False, dir_fd=place):
        if is_root and at == ".":
            folders[:] = [name for name in folders if _is_link(found, name)]
        for name in names:
            with suppress(OSError):
                size += os.stat(name, dir_fd=found, follow_symlinks=False).st_size
        files += len(names) + len(folders)
        if files > most:
            break
        if folders and at.count("/") >= MOST_LEVELS:
            is_deep = True
            folders.clear()
    return Held(files, size, is_deep)


def _is_link(place: int, name: str) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)


def check(folder: Folder, place: int, wanted: Mapping[str, bytes]) -> None:
    """Check that the folder has room for these files; else FileError, and nothing has changed.

    Files that were deleted go for good first, the oldest half before the rest. A file that does not grow is always
    saved.
    """
    more, larger = _growth(place, wanted)
    if not more and larger <= 0:
        return
    now, deleted = held(place, is_root=folder.is_root), _deleted(folder, place)
    then = Held(now.files + more, now.size + max(0, larger))
    if now.is_deep or Held(then.files - deleted.files, then.size - deleted.size).is_too_much:
        raise FileError(_no_room(folder, now, wanted))
    while then.is_too_much and _forget_some(folder, place):
        now = held(place, is_root=folder.is_root)
        then = Held(now.files + more, now.size + max(0, larger))


def _no_room(folder: Folder, now: Held, wanted: Iterable[str]) -> str:
    what = ", ".join(map(shown, wanted))
    return (
        f"{what}: there is no room. The folder {folder} may hold {now.most_files:,} files and "
        f"{now.most_size // _MIB:,} MiB, and holds {_counted(now)}. Nothing was saved: delete what nobody needs, or "
        "ask whoever runs this server (N2W_FOLDER_FILES, N2W_FOLDER_MIB)."
    )


def _counted(now: Held) -> str:
    if now.is_deep:
        return f"folders within folders more than {MOST_LEVELS} deep, into which nobody looks"
    if now.files > now.most_files:
        return f"more than {now.most_files:,} files"
    return f"{now.files:,} files with {now.size / _MIB:,.1f} MiB"


def _growth(place: int, wanted: Mapping[str, bytes]) -> tuple[int, int]:
    """Return how many files and bytes there would be more."""
    more = larger = 0
    for name, content in wanted.items():
        larger += len(content)
        try:
            larger -= os.stat(name, dir_fd=place, follow_symlinks=False).st_size
        except OSError:
            more += 1
    return more, larger


def _hidden(folder: Folder, place: int) -> list[tuple[int, str]]:
    """Return what was deleted and can be brought back, the oldest first: the second, and the hidden name."""
    listed, _ = looking.listed(place, is_root=folder.is_root)
    return sorted((was[0], name) for name in listed if (was := file_names.was(name)) is not None)


def _deleted(folder: Folder, place: int) -> Held:
    sizes = []
    for _, name in _hidden(folder, place):
        with suppress(OSError):  # its owner may have removed it over SSH a moment ago
            sizes.append(os.stat(name, dir_fd=place, follow_symlinks=False).st_size)
    return Held(len(sizes), sum(sizes))


def _forget_some(folder: Folder, place: int) -> int:
    hidden = _hidden(folder, place)
    if not hidden:
        return 0
    until, _ = hidden[max(0, len(hidden) // 2 - 1)]
    return writing.forget(place, [name for _, name in hidden], before=until + 1)
