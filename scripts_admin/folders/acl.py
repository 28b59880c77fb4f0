"""The kernel's access control lists, as the extended attribute that holds them."""

import errno
import os
import struct

ATTRIBUTE = "system.posix_acl_access"
_VERSION, _HEADER, _ENTRY, _NOBODY = 2, "<I", "<HHI", 0xFFFFFFFF
_READ, _EXECUTE = 4, 1
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NONE = (errno.ENODATA, errno.EOPNOTSUPP)


def of(opened: int) -> bytes | None:
    """Return the file's list; None if its mode says everything, or the file system has no lists."""
    try:
        return os.getxattr(opened, ATTRIBUTE)
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise


def drop(opened: int) -> None:
    """Let the file's mode say everything."""
    try:
        os.removexattr(opened, ATTRIBUTE)
    except OSError as error:
        if error.errno not in _NONE:
            raise


def set_to(opened: int, entries: bytes) -> None:
    os.setxattr(opened, ATTRIBUTE, entries)


def with_user(entries: bytes | None, mode: int, uid: int) -> bytes:
    """Return the list (or the mode, as a list) with the rights of the owner for this user, too."""
    owner, group, other = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    known = _read(entries) if entries else [(_GROUP_OBJ, group, _NOBODY)]
    kept = [
        each
        for each in known
        if each[0] not in {_USER_OBJ, _MASK, _OTHER} and each[::2] != (_USER, uid)
    ]
    mask = next((perm for tag, perm, _ in known if tag == _MASK), group) | owner
    whole = [
        (_USER_OBJ, owner, _NOBODY),
        (_USER, owner, uid),
        *kept,
        (_MASK, mask, _NOBODY),
        (_OTHER, other, _NOBODY),
    ]
    whole.sort(key=lambda each: (each[0], each[2]))
    return _packed(whole)


def with_execution(entries: bytes, *, given: bool) -> bytes:
    """Return the list with the right to execute for all who may read, or for nobody."""
    changed = [
        (tag, perm | (perm & _READ) >> 2 if given else perm & ~_EXECUTE, number)
        for tag, perm, number in _read(entries)
    ]
    return _packed(changed)


def _packed(entries: list[tuple[int, int, int]]) -> bytes:
    return struct.pack(_HEADER, _VERSION) + b"".join(struct.pack(_ENTRY, *each) for each in entries)


def _read(entries: bytes) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = list(
        struct.iter_unpack(_ENTRY, entries[struct.calcsize(_HEADER) :])
    )
    return found
