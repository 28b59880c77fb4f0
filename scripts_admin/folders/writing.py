"""Changing files of a folder that somebody hostile may own: whole, inside, and never through a link.

A file is written as a new one beside it, brought to the disk, and exchanged with the old one in one step. Then the old
one is looked at again: if somebody has changed it in the last moment, it is put back, and nothing was saved.
"""

import ctypes
import errno
import os
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from scripts_admin import linux_accounts
from scripts_admin.domain import file_names, texts
from scripts_admin.domain.shown import shown
from scripts_admin.folders import acl, looking
from scripts_admin.folders.looking import ChangedError, FileError

SCRIPT_MODE, HELPER_MODE = 0o770, 0o660
_PERMISSIONS = 0o777  # a set-user-id bit would give what was saved here to another account
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOREPLACE, _EXCHANGE = 1, 2
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # the file system has no such step
_LONGEST = 255  # of a name, says the kernel
_FULL = (errno.ENOSPC, errno.EDQUOT)
_libc = ctypes.CDLL(None, use_errno=True)


def put(
    place: int, name: str, content: bytes, *, opened: str, executable: bool | None = None
) -> None:
    """Save the content under the name; `opened` is the version that it replaces, empty for a new file.

    The mode, the access control list and, where the server may, the owner stay as they were. `executable` None
    leaves it so; a new file gets what its first line asks for. ChangedError or FileError: nothing has changed.
    """
    old = _expected(place, name, opened)
    with _sentences(name):
        made = _written(place, name if old else None, content, executable=executable)
        try:
            if old is None:
                _rename(place, made, name, _NOREPLACE)
            else:
                _exchange(place, made, name, opened)
        except FileExistsError:
            raise _taken(place, name) from None
        finally:
            with suppress(FileNotFoundError):
                os.unlink(made, dir_fd=place)
        os.fsync(place)


def rename(place: int, name: str, to: str, *, opened: str) -> None:
    """Give the file another name that nothing has yet."""
    _expected(place, name, opened, must_be_file=False)
    with _sentences(name):
        try:
            _rename(place, name, to, _NOREPLACE)
        except FileExistsError:
            raise _taken(place, to) from None
        os.fsync(place)


def set_aside(place: int, name: str, second: int, *, opened: str) -> str:
    """Hide the file in its folder, where it is not run and can be brought back from; return its hidden name."""
    _expected(place, name, opened, must_be_file=False)
    hidden = file_names.set_aside(name, second)
    if len(os.fsencode(hidden)) > _LONGEST:
        message = (
            f"The name of {shown(name)} is too long to set the file aside: delete it over SSH."
        )
        raise FileError(message)
    rename(place, name, hidden, opened=opened)
    return hidden


def bring_back(place: int, hidden: str) -> str:
    """Give a file that was set aside its name back; return it."""
    found = file_names.was(hidden)
    entry = looking.glance(place, hidden) if found else None
    if found is None or entry is None:
        message = "This file was not set aside here, or is gone: nothing was brought back."
        raise FileError(message)
    name = found[1]
    with _sentences(name):
        try:
            _rename(place, hidden, name, _NOREPLACE)
        except FileExistsError:
            said = shown(name)
            message = f"There is another {said} by now: rename or delete that one first. Nothing was brought back."
            raise FileError(message) from None
        os.fsync(place)
    return name


def take_back(place: int, name: str, *, opened: str) -> None:
    """Remove a file that was made just now, unless somebody has changed it since."""
    found = looking.read(place, name)
    if found is not None and found.entry.version == opened:
        with suppress(OSError):
            os.unlink(name, dir_fd=place)


def forget(place: int, names: Iterable[str], before: int) -> int:
    """Delete for good what was set aside before that second, and what unfinished saves left before it.

    Returns how many files these were.
    """
    gone = 0
    for name in names:
        with suppress(OSError):
            if _is_older(place, name, before):
                os.unlink(name, dir_fd=place)
                gone += 1
    return gone


def _is_older(place: int, name: str, before: int) -> bool:
    if file_names.is_unfinished(name):
        return os.stat(name, dir_fd=place, follow_symlinks=False).st_mtime < before
    found = file_names.was(name)
    return found is not None and found[0] < before


@contextmanager
def both_names(place: int, pairs: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Give each file a new name; within the block it has both. If the block fails, only the old names are left.

    If the process dies within the block, both names are left, and no file is lost. Where the file system has no
    hard links, or the server may make none, the files are renamed at once and back again if the block fails.
    """
    done: list[tuple[str, str, bool]] = []
    try:
        for name, to in pairs:
            with _sentences(name):
                done.append((name, to, _second_name(place, name, to)))
        yield
    except BaseException:
        for name, to, is_linked in reversed(done):
            with suppress(OSError):
                if is_linked:
                    os.unlink(to, dir_fd=place)
                else:
                    _rename(place, to, name, _NOREPLACE)
        raise
    for name, _, is_linked in done:
        if is_linked:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=place)
    os.fsync(place)


def _second_name(place: int, name: str, to: str) -> bool:
    """Return True if the file has both names now, False if it has only the new one."""
    try:
        os.link(name, to, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
    except FileExistsError:
        raise _taken(place, to) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EMLINK, *_CANNOT):
            raise
    else:
        return True
    try:
        _rename(place, name, to, _NOREPLACE)
    except FileExistsError:
        raise _taken(place, to) from None
    return False


def _expected(
    place: int, name: str, opened: str, *, must_be_file: bool = True
) -> looking.File | None:
    """Return what is there if it has the version `opened`; ChangedError if not, FileError if it cannot be changed."""
    found = looking.read(place, name)
    if found and not opened:
        raise _taken(place, name)
    if (found.entry.version if found else "") != opened:
        raise _changed(name, found)
    is_closed = found is not None and found.content is None
    if found and is_closed and (must_be_file or found.entry.kind == "folder"):
        raise FileError(found.entry.why)
    return found


def _changed(name: str, found: looking.File | None) -> ChangedError:
    what = "has changed since you opened it" if found else "is gone since you opened it"
    return ChangedError(f"{shown(name)} {what}. Nothing was saved.", found)


def _taken(place: int, name: str) -> ChangedError:
    message = f"There is a file {shown(name)} already. Nothing was changed: choose another name."
    return ChangedError(message, looking.read(place, name))


def _written(place: int, like: str | None, content: bytes, *, executable: bool | None) -> str:
    """Write the content to a new hidden file and bring it to the disk; return its name."""
    name = file_names.unfinished(str(uuid.uuid4()))
    made = os.open(name, _NEW, 0o600, dir_fd=place)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(made, view) :]
        if like is None:
            _own_anew(place, made, content, executable=executable)
        else:
            _own_like(place, made, like, executable=executable)
        os.fsync(made)
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=place)
        raise
    finally:
        os.close(made)
    return name


def _own_anew(place: int, made: int, content: bytes, *, executable: bool | None) -> None:
    """Let a new file belong to whom the folder belongs to, and be closed to everyone whom the folder is closed to."""
    folder = os.fstat(place)
    _give(made, folder.st_uid, -1)
    runs = texts.is_script(content) if executable is None else executable
    mode = SCRIPT_MODE if runs else HELPER_MODE
    os.fchmod(made, mode & (0o700 | folder.st_mode & 0o070))


def _own_like(place: int, made: int, name: str, *, executable: bool | None) -> None:
    """Give the new file the mode, the access control list and the owner of the old one, as far as the server may."""
    old = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    try:
        status = os.fstat(old)
        if not stat.S_ISREG(status.st_mode):
            raise _changed(name, looking.read(place, name))
        with _readable(old) as file:
            entries = acl.of(file)
    finally:
        os.close(old)
    mode = status.st_mode & _PERMISSIONS
    if executable is not None:
        mode = mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
        entries = acl.with_execution(entries, given=executable) if entries else None
    is_same = _give(made, _owner(place, status), status.st_gid)
    _let(made, mode, entries, None if is_same else status.st_uid)


@contextmanager
def _readable(looked_at: int) -> Iterator[int]:
    file = os.open(f"/proc/self/fd/{looked_at}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _let(made: int, mode: int, entries: bytes | None, former: int | None) -> None:
    """Set the rights; `former` is the owner of the old file if the new one could not be given to them."""
    try:
        if former is not None:
            acl.set_to(made, acl.with_user(entries, mode, former))
            return
        if entries is None:
            acl.drop(made)
        else:
            acl.set_to(made, entries)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        mode |= (mode & 0o700) >> 3 if former is not None else 0
    os.fchmod(made, mode)


def _owner(place: int, old: os.stat_result) -> int:
    """Return whom the new file belongs to. A file of a third account does not stay theirs with another content."""
    folder = os.fstat(place).st_uid
    is_ours = old.st_uid in (folder, os.geteuid())
    return folder if linux_accounts.is_system(old.st_uid) and not is_ours else old.st_uid


def _give(made: int, uid: int, gid: int) -> bool:
    """Tell whether the file belongs to that user now."""
    with suppress(PermissionError):
        os.fchown(made, -1, gid)
    with suppress(PermissionError):
        if os.fstat(made).st_uid != uid:
            os.fchown(made, uid, -1)
    return os.fstat(made).st_uid == uid


def _exchange(place: int, made: str, name: str, opened: str) -> None:
    """Put the new file in the old one's place; ChangedError if that was not the version `opened` any more."""
    try:
        _rename(place, made, name, _EXCHANGE)
    except FileNotFoundError:
        raise _changed(name, None) from None
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        os.rename(made, name, src_dir_fd=place, dst_dir_fd=place)
        return
    was = looking.read(place, made)
    if was is None or was.entry.version != opened:
        _put_back(place, made, name)
        raise _changed(name, looking.read(place, name))


def _put_back(place: int, made: str, name: str) -> None:
    try:
        _rename(place, made, name, _EXCHANGE)
    except FileNotFoundError:  # ours was removed again meanwhile: theirs must not go, too
        _rename(place, made, name, _NOREPLACE)


def _rename(place: int, name: str, to: str, flags: int) -> None:
    """Call renameat2. Where a file system knows no flags, a name is taken by a hard link, which replaces nothing."""
    if not _libc.renameat2(place, os.fsencode(name), place, os.fsencode(to), flags):
        return
    number = ctypes.get_errno()
    if number in _CANNOT and flags == _NOREPLACE:
        os.link(name, to, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
        os.unlink(name, dir_fd=place)
        return
    raise OSError(number, os.strerror(number), name)


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    """Turn what the kernel refuses into a sentence; nothing has changed then."""
    try:
        yield
    except FileNotFoundError:
        raise _changed(name, None) from None
    except OSError as error:
        raise FileError(_refused(name, error)) from None


def _refused(name: str, error: OSError) -> str:
    said = shown(name)
    if error.errno in _FULL:
        return f"{said} was not saved, because the disk or its quota is full: make room and save again."
    if error.errno == errno.EROFS:
        return f"{said} was not saved, because the disk is mounted read-only: remount it and save again."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{said} was not saved, because the server may not write into this folder: correct its permissions."
    return f"{said} was not saved ({error.strerror}): correct that and save again."
