"""Settings of the tests: their own home, fast passwords, scripts as the same account, no broker.

`DATABASE_URL` and `REDIS_URL` are used, so the same suite runs on PostgreSQL and Redis. An `N2W_HOME`
from outside is ignored: no test may touch a real one. Processes that a test starts inherit the home of
that test process.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "n2wbackup-test-"
# Each process of pytest-xdist has its own home; a process that it starts has the home of its parent.
_who = os.environ.get("PYTEST_XDIST_WORKER", "main")
_own = os.environ.get("N2W_TEST_HOME_OF") != _who
if _own:
    os.environ["N2W_TEST_HOME_OF"] = _who
    os.environ["N2W_HOME"] = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    os.environ.pop("N2W_SCRIPTS_ROOT", None)
os.environ["N2W_RUN_SCRIPTS_AS"] = "self"

from n2wbackup.lib import home  # noqa: E402 - the environment comes first
from n2wbackup.settings.main import *  # noqa: E402
from n2wbackup.settings.main import DATABASES, N2W_HOME, N2W_REDIS_URL  # noqa: E402
from scripts_admin.domain.places import Places  # noqa: E402

# Accounts that tests make are real; what the machine reads of ours is in the home of the test.
_own_name = f"n2wt-{os.getpid()}"
N2W_LINUX_PLACES = Places(
    f"{N2W_HOME}/machine", f"{_own_name}-scripts", _own_name, f"{N2W_HOME}/homes"
)


def _remove(owner: int, folders: list[Path]) -> None:
    # A forked child inherits this exit handler, and must not remove its parent's home.
    if os.getpid() == owner:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    # A process that was killed (and mypy, which skips exit handlers) did not remove its home.
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        # Another process may be sweeping too.
        with contextlib.suppress(OSError, ValueError):
            if not Path("/proc", pid).exists() and (left / "server-id").is_file():
                _remove(os.getpid(), [home.runtime_of(left), left])


if _own:
    _sweep()
    Path(N2W_HOME).chmod(0o711)
    atexit.register(_remove, os.getpid(), [N2W_HOME, home.runtime_of(N2W_HOME)])

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if not N2W_REDIS_URL:
    CELERY_BROKER_URL = "memory://"
if str(DATABASES["default"]["ENGINE"]).endswith("sqlite3"):
    # A file, not memory: threads and processes of a test share it, as in production.
    DATABASES["default"]["TEST"] = {"NAME": N2W_HOME / "test.sqlite3"}
    # A test's data need not survive a power cut.
    DATABASES["default"]["OPTIONS"]["init_command"] = (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
    )
