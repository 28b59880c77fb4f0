"""What the machine must have, and the one place that says what happens when it has not."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Where Debian keeps what a person's own PATH does not name.
MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def missing(what: str) -> NoReturn:
    """Skip the test; where `CI=true`, fail it: a server of ours must have everything."""
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
