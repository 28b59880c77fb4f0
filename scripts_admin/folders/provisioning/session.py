#!/usr/bin/python3 -I
"""A session over SSH, and after it: what was written in a script folder is opened to all who work with it.

`provision_user` installs this file as /usr/local/libexec/n2wbackup-session, so it needs nothing but Python 3.9.
A folder's default ACL names the server, the owner and the scripts' account. But scp creates a file with the mode
that it has at home, and that mode becomes the mask: 0644 takes the right to write away from everyone who is named,
0700 takes all. Only the owner of a file, or root, can set its ACL, so this happens where the owner's session ends.

    n2wbackup-session ROOT ACCOUNTS   run what the client asks for, then open what this account wrote
    n2wbackup-session --mend FOLDER   open all files of a script folder; as root, whoever wrote them
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NOBODY = 0xFFFFFFFF
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_VERSION = 2
_NAMED = (USER, GROUP)
_MOST_FILES = 20_000  # a folder with more is mended by provision_user
_MOST_LEVELS = (
    30  # each one holds a descriptor, and a Python before 3.13 goes no deeper than some hundreds
)
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_SCRIPT = re.compile(r"(before|after|complete)_[^.]+\..")
_SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
)
Entries = list[tuple[int, int, int]]  # tag, rights, uid or gid
Act = Callable[[str, str, Entries], None]  # on a path, of this name in the folder, with this ACL


def entries(path: str, attribute: str) -> Entries:
    """Return the entries of an ACL; none if there is no ACL, or the file system knows none."""
    try:
        packed = os.getxattr(path, attribute)
    except OSError:
        return []
    return list(_ENTRY.iter_unpack(packed[_HEADER.size :]))


def packed(acl: Entries) -> bytes:
    """Return what the kernel takes as an ACL; it wants the entries in the order of their tags."""
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*each) for each in sorted(acl, key=_order))


def _order(entry: tuple[int, int, int]) -> tuple[int, int]:
    return entry[0], entry[2]


def opened(default: Entries, own: Entries, mode: int) -> Entries:
    """Return the ACL of a file in a folder with this default: whom it names may do what the file's owner may."""
    owner = mode >> 6 & 7
    named = {(tag, who): rights for tag, rights, who in own if tag in _NAMED}
    named.update({(tag, who): rights for tag, rights, who in default if tag in _NAMED})
    group = next((rights for tag, rights, _ in default if tag == GROUP_OBJ), 0)
    return [
        (USER_OBJ, owner, NOBODY),
        *((tag, rights, who) for (tag, who), rights in named.items()),
        (GROUP_OBJ, group, NOBODY),
        (MASK, owner, NOBODY),
        (OTHER, 0, NOBODY),
    ]


def stays_closed(name: str, mode: int) -> bool:
    """Tell whether a file is closed on purpose: private keys and files with passwords must have mode 600."""
    return not (mode & 0o070 or mode & 0o111 or _SCRIPT.match(name))


def is_open(path: str, name: str, status: os.stat_result, default: Entries) -> bool:
    """Tell whether everyone whom the folder names has the rights of the owner, or may not have them."""
    if not default or not _is_judged(status) or stays_closed(name, status.st_mode):
        return True
    own = entries(path, ACCESS)
    return sorted(own, key=_order) == sorted(opened(default, own, status.st_mode), key=_order)


def _is_judged(status: os.stat_result) -> bool:
    """Tell whether a file or folder is one of ours to open: another name of it may be elsewhere."""
    return stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)


def closed_in(folder: str, owner: int | None = None) -> list[str]:
    """Return what in the folder is not open as `mend` would make it, and belongs to `owner`, if one is given."""
    found: list[str] = []

    def note(_: str, shown: str, __: Entries) -> None:
        found.append(shown)

    _walk(folder, owner, note)
    return found


def mend(folder: str, owner: int | None = None) -> int:
    """Open what is in the folder, and return how many files that were. No link is followed, at no moment."""
    done: list[str] = []

    def open_it(path: str, shown: str, acl: Entries) -> None:
        try:
            os.setxattr(path, ACCESS, packed(acl))
        except OSError:  # another's, or gone
            return
        done.append(shown)

    _walk(folder, owner, open_it)
    return len(done)


def _walk(folder: str, owner: int | None, act: Act) -> None:
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        default = entries(f"/proc/self/fd/{top}", DEFAULT)
        count = 0
        if default:
            for place, folders, files, at in os.fwalk(".", follow_symlinks=False, dir_fd=top):
                for name in [*folders, *files]:
                    shown = str(Path(place) / name)
                    _look(at, name, shown, default, owner, act)
                count += len(folders) + len(files)
                if count > _MOST_FILES:
                    return
                if place.count("/") >= _MOST_LEVELS:
                    folders.clear()
    finally:
        os.close(top)


def _look(at: int, name: str, shown: str, default: Entries, owner: int | None, act: Act) -> None:
    try:
        found = os.open(name, _LOOK, dir_fd=at)
    except OSError:
        return
    try:
        status, path = os.fstat(found), f"/proc/self/fd/{found}"
        if owner in (None, status.st_uid) and not is_open(path, name, status, default):
            act(path, shown, opened(default, entries(path, ACCESS), status.st_mode))
    finally:
        os.close(found)


def _asked(shell: str, command: str) -> tuple[list[str], str]:
    """Return the arguments and the program of what the client asks for: a shell, sftp, or a command."""
    if not command:
        return [f"-{Path(shell).name}"], shell
    first, _, more = command.partition(" ")
    if first == "internal-sftp":
        server = next((each for each in _SFTP_SERVERS if os.access(each, os.X_OK)), "")
        if server:
            command = f"{server} {more}".strip()
    return [shell, "-c", command], shell


def _session() -> int:
    """Run what the client asks for, and return how it ended. A connection that is lost ends it, and not us."""
    for each in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(each, lambda *_: None)  # a handler of ours: what we start has none of it
    os.umask(0o007)
    shell = pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    arguments, program = _asked(shell, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    code = subprocess.Popen(arguments, executable=program).wait()
    return code if code >= 0 else 128 - code


def folders_of(uid: int, accounts: str) -> list[str]:
    """Return the names of the folders in which this account works: its own, or all for the scripts' account."""
    try:
        text = Path(accounts).read_text(encoding="utf-8")
    except OSError:
        return []
    found = text.splitlines()
    lines = [line.split() for line in found if line.strip() and not line.startswith("#")]
    tenants = [words[0] for words in lines if "kind=tenant" in words]
    own = next((words for words in lines if f"uid={uid}" in words), [])
    if "kind=shared" in own:
        return tenants
    return own[:1] if "kind=tenant" in own else []


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--mend"]:
        for folder in arguments[1:]:
            mend(folder)
        return 0
    root, accounts = arguments
    try:
        return _session()
    finally:
        for name in folders_of(os.getuid(), accounts):
            mend(str(Path(root, name)), os.getuid())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
