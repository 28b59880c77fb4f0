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
        try:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise ImproperlyConfigured(
                f"The SQLite file {path} cannot be created ({error.strerror}): name a file in a folder that "
                "the server may write to."
            ) from error
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


def parsed(url: str, name: str = "DATABASE_URL") -> dict[str, Any]:
    """Return the settings of the database at a URL; `name` is where a person wrote it.

    ImproperlyConfigured, in a sentence without the URL: it may contain a password.
    """
    found: dict[str, Any] = {}
    with contextlib.suppress(KeyError, ValueError, ImproperlyConfigured):
        found = Env.db_url_config(url)
    engine = str(found.get("ENGINE", ""))
    if engine.endswith("sqlite3"):
        return sqlite(Path(found["NAME"]).absolute())
    if not engine.endswith("postgresql"):
        raise ImproperlyConfigured(
            f"{name} is not valid: write postgres://user:password@host:5432/name "
            "or sqlite:////path."
        )
    own = {"CONN_MAX_AGE": _KEPT_SECONDS, "CONN_HEALTH_CHECKS": True}
    return found | own | {"OPTIONS": _GIVES_UP | found.get("OPTIONS", {})}


def _default() -> dict[str, Any]:
    url = read("DATABASE_URL")
    return parsed(url) if url else sqlite(N2W_HOME / "db.sqlite3")


DATABASES = {"default": _default()}
