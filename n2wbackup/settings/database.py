"""The database: `DATABASE_URL`, or SQLite in `N2W_HOME`."""

import contextlib
import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environ import Env

from n2wbackup.settings.env import N2W_HOME, read

__all__ = ["DATABASES"]

_KEPT_SECONDS = 60  # how long a connection is kept; opening one costs ten times as much as a query
# Options of libpq, which waits for minutes by default: a host that does not answer counts as away.
_GIVES_UP = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}


def sqlite(path: Path) -> dict[str, Any]:
    """Return the settings of an SQLite database for several processes; only we can read the file."""
    # Check first: on a frozen disk, creating the file would block even if it exists.
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": _KEPT_SECONDS,
        "OPTIONS": {
            # Seconds a writer waits for its turn.
            "timeout": 20,
            # A transaction that reads first and then writes would fail at once if another one wrote
            # in between.
            "transaction_mode": "IMMEDIATE",
            # FULL, not NORMAL: NORMAL may lose the last commits when the power fails, but "before was
            # started" and "complete was started" must guarantee "at most once". It costs one fsync
            # per commit, outside of every window.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


def _default() -> dict[str, Any]:
    url = read("DATABASE_URL")
    if not url:
        return sqlite(N2W_HOME / "db.sqlite3")
    parsed: dict[str, Any] = {}
    with contextlib.suppress(KeyError, ValueError, ImproperlyConfigured):
        parsed = Env.db_url_config(url)
    engine = str(parsed.get("ENGINE", ""))
    if engine.endswith("sqlite3"):
        return sqlite(Path(parsed["NAME"]).absolute())
    if not engine.endswith("postgresql"):
        # The URL contains a password: do not repeat it in the error.
        raise ImproperlyConfigured(
            "DATABASE_URL is not valid: write postgres://user:password@host:5432/name "
            "or sqlite:////path."
        )
    own = {"CONN_MAX_AGE": _KEPT_SECONDS, "CONN_HEALTH_CHECKS": True}
    return parsed | own | {"OPTIONS": _GIVES_UP | parsed.get("OPTIONS", {})}


DATABASES = {"default": _default()}
