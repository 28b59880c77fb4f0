"""The names of those whom sshd may let in: written by the server, asked by `admitting` at each login."""

import os
from collections.abc import Iterable
from contextlib import suppress

from n2wbackup.lib import home


def names() -> list[str] | None:
    """Return who may come in; None if nobody wrote it down yet."""
    try:
        return home.ssh_logins().read_text(encoding="utf-8").split()
    except OSError:
        return None


def write(people: Iterable[str]) -> bool:
    """Let the list have exactly these names, and tell whether it changed. It appears whole, by a rename."""
    wanted = sorted(people)
    if names() == wanted:
        return False
    path = home.ssh_logins()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text("".join(f"{name}\n" for name in wanted), encoding="utf-8")
        new.chmod(0o644)
        if os.geteuid() == 0:  # what root makes in N2W_HOME belongs to its owner
            owner = path.parent.stat()
            os.chown(new, owner.st_uid, owner.st_gid)
        new.rename(path)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()
    return True
