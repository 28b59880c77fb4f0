"""What the machine must have, and what happens if it lacks something: decided only here."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Debian's folders that are not in a person's own PATH.
MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def missing(what: str) -> NoReturn:
    """Skip the test; with `CI=true`, fail it: a CI server must have everything."""
    reason = f"{what}: run tools/system-packages.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(name: str) -> Path:
    """Return the full path of a program, or report it missing."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders = [os.environ.get("PATH", ""), *MORE_FOLDERS, *map(str, versions)]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        missing(f"the program {name} is not on this machine")
    return Path(found)


def needs_root(what: str) -> None:
    """Report `what` missing unless this process is root."""
    if os.geteuid() != 0:
        missing(f"{what} needs root")
