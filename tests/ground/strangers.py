"""Another account of this machine, and what it does to a server: it is `nobody`, which may do little."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.ground import components

UID = GID = 65534


def does(act: Callable[[], object]) -> None:
    """Do it as the other account, in a process of its own; an error there is an error here."""
    components.needs_root("becoming another account")
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setgroups([])
            os.setgid(GID)
            os.setuid(UID)
            act()
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not run what its parent runs
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def gets(path: Path) -> None:
    """Give it the file or folder, as a careless chown would."""
    components.needs_root("giving a file away")
    os.chown(path, UID, GID, follow_symlinks=False)
