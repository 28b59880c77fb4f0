"""Calls of the kernel that Python's library lacks: namespaces, mounts, loop devices, paths that cannot lead out."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import stat
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE = 32, 1024, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

_OPENAT2, _OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 437, 428, 429, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, 0o2000000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x00100000
# No link is followed, no other file system is entered, nothing above the folder is reached.
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08
_LOOP_CLR_FD, _LOOP_GET_STATUS64 = 0x4C01, 0x4C05
_LOOP_CONFIGURE, _LOOP_CTL_GET_FREE = 0x4C0A, 0x4C82
_LO_FLAGS_AUTOCLEAR = 4
_LOOP_MAJOR, _LOOP_INFO, _TRIES = 7, 232, 50
_GOINGDOWN, _WITHOUT_LOG = 0x8004587D, 2  # of XFS and of ext4

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def unshare(flags: int) -> None:
    _checked(libc.unshare(flags), "unshare")


def prctl(option: int, value: int) -> None:
    _checked(libc.prctl(option, value, 0, 0, 0), "prctl")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """Do what the system's call of this name does; OSError has the target's name."""
    words = [each.encode() if each else None for each in (source, target, kind)]
    _checked(libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None), target)


def bind(source: str, target: str, *, read_only: bool = True) -> None:
    """Show a folder or a file in another place, without devices and setuid programs there."""
    mount(source, target, "", MS_BIND | MS_REC)
    flags = MS_NOSUID | MS_NODEV | (MS_RDONLY if read_only else 0)
    mount("", target, "", MS_REMOUNT | MS_BIND | flags)


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    _checked(libc.umount2(target.encode(), flags), target)


def make_private() -> None:
    """Let no mount of this namespace be seen outside."""
    mount("", "/", "", MS_REC | MS_PRIVATE)


def change_root(folder: str) -> None:
    """Make the folder, which is a mount, the only tree that this process sees."""
    os.chdir(folder)
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(0, f"{platform.machine()} is no machine on which snapshots are opened")
    _checked(libc.syscall(number, b".", b"."), "pivot_root")
    unmount(".")
    os.chdir("/")


def mapped(tree: str, target: str, users: int) -> None:
    """Show a tree in another place, with its owners as the user namespace of the descriptor says."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    clone = _checked(libc.syscall(_OPEN_TREE, _AT_FDCWD, tree.encode(), flags), tree)
    try:
        attributes = struct.pack("=4Q", _MOUNT_ATTR_IDMAP | MS_NOSUID | MS_NODEV, 0, 0, users)
        _checked(
            libc.syscall(_MOUNT_SETATTR, clone, b"", _AT_EMPTY_PATH, attributes, len(attributes)),
            "mount_setattr",
        )
        _checked(
            libc.syscall(
                _MOVE_MOUNT, clone, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH
            ),
            target,
        )
    finally:
        os.close(clone)


def opened_beneath(folder: int, path: bytes, flags: int) -> int:
    """Open a path below the folder; OSError if a link is on its way or it leads out (ELOOP, EXDEV)."""
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, 0, _RESOLVE)
    number = libc.syscall(_OPENAT2, folder, path or b".", how, len(how))
    return _checked(number, os.fsdecode(path))


# Loop devices


def loop(file: int, name: str, nodes: str, offset: int, size: int) -> tuple[int, str]:
    """Return a loop device over a part of the file: its descriptor and its node below the folder `nodes`.

    The kernel takes it away when it is closed and unmounted, however that comes about. `name` is what it is found by.
    """
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            node = os.path.join(nodes, f"loop{number}")  # noqa: PTH118 - as short as it gets
            if not os.path.exists(node):  # noqa: PTH110 - as above
                os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
            device = os.open(node, os.O_RDWR | os.O_CLOEXEC)
            info = struct.pack(
                "=5Q4I64s64s32s2Q",
                *(0, 0, 0, offset, size, 0, 0, 0, _LO_FLAGS_AUTOCLEAR),
                *(name.encode(), b"", b"", 0, 0),
            )
            configuration = struct.pack("=2I", file, 0) + info + bytes(64)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, configuration)
            except OSError:  # another took it first
                os.close(device)
                continue
            return device, node
    finally:
        os.close(control)
    raise OSError(0, "no loop device is free")


def loop_name(device: int) -> str:
    """Return the name that a loop device was given; OSError if it is none, or free."""
    found = fcntl.ioctl(device, _LOOP_GET_STATUS64, bytes(_LOOP_INFO))
    return found[56:120].split(b"\0")[0].decode("utf-8", "replace")


def clear_loop(device: int) -> None:
    fcntl.ioctl(device, _LOOP_CLR_FD)


def give_up(tree: str) -> None:
    """Let the file system forget what it has not written: it is thrown away."""
    folder = os.open(tree, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(folder, _GOINGDOWN, struct.pack("=I", _WITHOUT_LOG))
    finally:
        os.close(folder)
