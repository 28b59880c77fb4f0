"""Whose a file is: what the server executes or believes belongs to it or to root, and nobody else can write to it.

Each look is at an open descriptor. A link is not followed, and a FIFO or a device is never opened. No Django here:
the guard looks, too.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK = (
    os.O_PATH | os.O_CLOEXEC
)  # opens nothing yet, so it neither waits nor drops a lock of SQLite's
_WRITE = stat.S_IWGRP | stat.S_IWOTH
PRIVATE = stat.S_IRWXG | stat.S_IRWXO
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


class UntrustedError(PermissionError):
    """Somebody else may have made or changed this. The text is one sentence: what, on what, what to do."""

    def __init__(self, fact: str, remedy: str) -> None:
        """`fact` and `remedy` are the two halves of the sentence, without a full stop."""
        self.fact, self.remedy = fact, remedy
        super().__init__(errno.EACCES, str(self))

    def __str__(self) -> str:
        return f"{self.fact}: {self.remedy}."


class ExposedError(UntrustedError):
    """Nobody else can have changed the file, but others can read it, and it holds a secret."""

    def __init__(self, fact: str, remedy: str, text: str = "") -> None:
        """`text` is what the file holds: a thaw goes on with it."""
        super().__init__(fact, remedy)
        self.text = text


@contextmanager
def folder(
    path: Path | str, *, within: int | None = None, closed: bool = True, follow: bool = False
) -> Iterator[int]:
    """Yield a descriptor of the folder, for `within`. `closed` False: others may write there, but not own it.

    Raises UntrustedError, FileNotFoundError. What a folder that is not closed holds must be judged for itself.
    `within` is the descriptor of the folder that has the last part of `path`; here and below.
    """
    with _looked_at(path, within, follow=follow) as (found, _):
        _judge(path, found, stat.S_IFDIR, _WRITE if closed else 0)
        yield found


@contextmanager
def file(
    path: Path | str,
    *,
    within: int | None = None,
    closed: bool = True,
    private: int = 0,
    follow: bool = False,
    anybodys: bool = False,
) -> Iterator[int]:
    """Yield a descriptor that stands for the regular file, and cannot be read. `private`: bits its mode must lack.

    `closed` False: others may write to it, but not own it. `anybodys`: whoever made it in a folder that was judged
    may own it. Raises UntrustedError, ExposedError, FileNotFoundError.
    """
    with _looked_at(path, within, follow=follow) as (found, status):
        _judge(path, found, stat.S_IFREG, _WRITE if closed else 0, anybodys=anybodys)
        if status.st_mode & private:
            mode = stat.S_IMODE(status.st_mode)
            raise ExposedError(
                f"{path} holds a secret, and other accounts can read it (mode {mode:04o})",
                f"run chmod 600 {path}, and change the secret if somebody may have read it",
                _text(found),
            )
        yield found


def opened(found: int, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor that is open for more than a look: the very file of `found`, whatever its name names now."""
    return os.open(f"/proc/self/fd/{found}", flags | os.O_CLOEXEC)


def text(path: Path | str, *, within: int | None = None, private: int = 0) -> str:
    """Return what the file holds; bytes that are no UTF-8 become signs of their own."""
    with file(path, within=within, private=private) as found:
        return _text(found)


def text_of_anybody(path: Path) -> str:
    """Return what the regular file holds, whoever owns it; UntrustedError if it is no regular file."""
    with _looked_at(path, None, follow=False) as (found, status):
        _judge_kind(path, status, stat.S_IFREG)
        return _text(found)


def judge_way(path: Path) -> None:
    """Raise UntrustedError if somebody else can put another folder in this one's place.

    Judges all above it, by its name and as the kernel found it. Another's link or folder on the way is as bad as
    one that others can write to. They may write to a sticky one, such as /tmp: it protects our own.
    """
    for place in [*reversed(path.parents), path]:
        with _looked_at(place, None, follow=False) as (found, status):
            if place == path:
                _judge_owner(place, status)
            else:
                _judge_step(place, found, status)
    here = os.open(path, _LOOK | os.O_DIRECTORY)
    try:
        while True:
            above = os.open("..", _LOOK | os.O_DIRECTORY, dir_fd=here)
            same = os.path.samestat(os.fstat(above), os.fstat(here))
            os.close(here)
            here = above
            _judge_step(Path(f"/proc/self/fd/{here}").readlink(), here, os.fstat(here))
            if same:
                return
    finally:
        os.close(here)


def account(uid: int) -> str:
    """Return the name of the account, or its number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@contextmanager
def _looked_at(
    path: Path | str, within: int | None, *, follow: bool
) -> Iterator[tuple[int, os.stat_result]]:
    name = path if within is None else os.path.basename(path)  # noqa: PTH119 - a str needs no Path for it
    found = os.open(name, _LOOK | (0 if follow else os.O_NOFOLLOW), dir_fd=within)
    try:
        yield found, os.fstat(found)
    finally:
        os.close(found)


def _judge(
    path: Path | str,
    found: int,
    kind: int,
    forbidden: int,
    *,
    anybodys: bool = False,
) -> None:
    status = os.fstat(found)
    _judge_kind(path, status, kind)
    if not anybodys:
        _judge_owner(path, status)
    if status.st_mode & forbidden & _others_bits(found, status):
        raise UntrustedError(
            f"{path} can be written to by other accounts (mode {stat.S_IMODE(status.st_mode):04o})",
            f"look at what it holds, then run chmod go-w {path}",
        )


def _judge_kind(path: Path | str, status: os.stat_result, kind: int) -> None:
    found = stat.S_IFMT(status.st_mode)
    if found != kind:
        raise UntrustedError(
            f"{path} is {_KINDS.get(found, 'a device')}, not {_KINDS[kind]}",
            "move it away, and find out who put it there",
        )


def _judge_step(place: Path, found: int, status: os.stat_result) -> None:
    _judge_owner(place, status)
    if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return
    if status.st_mode & _WRITE & _others_bits(found, status):
        raise UntrustedError(
            f"{place} can be written to by other accounts (mode {stat.S_IMODE(status.st_mode):04o}), so they can "
            "replace what the server keeps there",
            f"run chmod go-w {place}",
        )


def _judge_owner(path: Path | str, status: os.stat_result) -> None:
    own = os.geteuid()
    if status.st_uid not in {0, own}:
        raise UntrustedError(
            f"{path} belongs to {account(status.st_uid)}, and the server runs as {account(own)}",
            f"look at what it holds, then run chown {account(own)} {path}",
        )


def _others_bits(found: int, status: os.stat_result) -> int:
    """Return the bits of a mode that give a right to somebody else; a group of one's own is nobody else.

    Where there is an ACL, the group's bits are what all whom it names may do at most.
    """
    if not status.st_mode & stat.S_IWGRP or _has_acl(found):
        return PRIVATE
    try:
        group, us = grp.getgrgid(status.st_gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return PRIVATE
    alone = group.gr_gid == us.pw_gid and group.gr_name == us.pw_name
    return stat.S_IRWXO if alone and set(group.gr_mem) <= {us.pw_name} else PRIVATE


def _has_acl(found: int) -> bool:
    try:
        return bool(os.getxattr(f"/proc/self/fd/{found}", "system.posix_acl_access"))
    except OSError:  # none, or a file system without any
        return False


def _text(found: int) -> str:
    with os.fdopen(opened(found), encoding="utf-8", errors="replace") as read:
        return read.read()
