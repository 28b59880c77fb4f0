#!/usr/bin/python3 -IS
"""What sshd asks before it lets somebody in by a key: the keys of the account, or none if the person has left.

`provision_user` installs this file as /usr/local/libexec/n2wbackup-keys, so it needs nothing but Python 3.9. sshd runs
it as root at each login (AuthorizedKeysCommand), because the server alone knows who was deactivated a moment ago, and
is not root: it writes their names down (LIST), and nobody whose name is missing there comes in. Without a list nobody
does. The keys are read as the account itself, so that no link of its leads root anywhere.

    n2wbackup-keys LIST ACCOUNTS NAME
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
import syslog
from pathlib import Path

_MOST = 1_000_000
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class ClosedError(Exception):
    """The account has no key that counts; the text says why."""


def text_of(path: str) -> str:
    """Return what the file says. OSError, ValueError: it is not there, or no plain and short text."""
    found = os.open(path, _LOOK)
    with os.fdopen(found, encoding="utf-8", errors="replace") as file:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise ValueError(f"{path} is no file")
        text = file.read(_MOST + 1)
    if len(text) > _MOST:
        raise ValueError(f"{path} is too long")
    return text


def judge(name: str, uid: int, accounts: str, admitted: str) -> None:
    """Check that root's list has this account as open, and the server's this person; else ClosedError."""
    lines = [line.split() for line in text_of(accounts).splitlines() if not line.startswith("#")]
    own = next((words for words in lines if words[:1] == [name]), [])
    if not {f"uid={uid}", "kind=tenant", "state=open"} <= set(own):
        raise ClosedError("the account is locked, or provision_user did not make it")
    try:
        names = text_of(admitted).split()
    except OSError as error:
        raise ClosedError(
            f"{admitted} cannot be read ({error.strerror}): start the server, which writes it"
        ) from None
    if name not in names:
        raise ClosedError("the user is deactivated, deleted or a superuser")


def keys_of(home: str, uid: int) -> str:
    """Return the lines of ~/.ssh/authorized_keys, if nobody else can have written them, as sshd's StrictModes asks."""
    file = Path(home, ".ssh", "authorized_keys")
    for place in (Path(home), file.parent, file):
        status = place.stat()
        if status.st_uid not in (0, uid) or status.st_mode & _OTHERS:
            raise ClosedError(f"others may write to {place}")
    return text_of(str(file))


def main(arguments: list[str]) -> int:
    admitted, accounts, name = arguments
    try:
        entry = pwd.getpwnam(name)
        judge(name, entry.pw_uid, accounts, admitted)
        os.initgroups(name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        sys.stdout.write(keys_of(entry.pw_dir, entry.pw_uid))
    except (ClosedError, KeyError, OSError, ValueError) as error:
        syslog.openlog("n2wbackup-keys", 0, syslog.LOG_AUTHPRIV)
        syslog.syslog(syslog.LOG_NOTICE, f"no key opens {name}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
