"""The database: `DATABASE_URL`, or SQLite in `N2W_HOME`."""

import contextlib
import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.lib import once
from n2wbackup.settings import addresses
from n2wbackup.settings.env import N2W_HOME, cure, read

__all__ = ["DATABASES"]

_FORM = "write postgres://user:password@host:5432/name or sqlite:////path"
_POSTGRESQL = {"postgres", "postgresql", "psql", "pgsql", "postgresql+psycopg"}
_KEPT_SECONDS = 60  # how long a connection is kept; opening one costs ten times as much as a query
# Options of libpq, which waits for minutes by default: a host that does not answer counts as away.
_GIVES_UP = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}

_NUMBERS = {*_GIVES_UP, "keepalives", "port"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Of libpq's options, those that somebody may want to set in a URL.
_OPTIONS = {
    *_NUMBERS,
    *("host", "hostaddr", "user", "service", "passfile", "application_name", "client_encoding"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "channel_binding", "require_auth"),
    *("gssencmode", "krbsrvname", "gsslib", "target_session_attrs", "load_balance_hosts"),
    *("options",),  # it has a sentence of its own
}


def sqlite(path: Path) -> dict[str, Any]:
    """Return the settings of an SQLite database for several processes; only we can read the file."""
    # Check first: on a frozen disk, creating the file would block even if it exists.
    if not path.exists():
        try:
            with contextlib.suppress(FileExistsError):
                made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                once.give(made, path.parent)
                os.close(made)
        except OSError as error:
            raise ImproperlyConfigured(
                f"The SQLite file {path} cannot be created ({error.strerror}): {cure(error)}."
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
    found = addresses.parts(name, url, _FORM)
    if found.scheme in {"sqlite", "sqlite3"}:
        return _sqlite_of(found, name)
    if found.scheme not in _POSTGRESQL:
        raise ImproperlyConfigured(f"{name} has the scheme {found.scheme[:20]!r}: {_FORM}.")
    return _postgresql(found, name)


def _default() -> dict[str, Any]:
    url = read("DATABASE_URL")
    return parsed(url) if url else sqlite(N2W_HOME / "db.sqlite3")


def _sqlite_of(found: addresses.Parts, name: str) -> dict[str, Any]:
    # Three slashes: a path from the present folder; four: an absolute one.
    path = Path(found.path.removeprefix("/"))
    if found.host or not path.name:
        raise ImproperlyConfigured(f"{name} names no file: {_FORM}.")
    return sqlite(path.absolute())


def _postgresql(found: addresses.Parts, setting: str) -> dict[str, Any]:
    options = dict(found.options)
    _check(options, setting)
    host, name = options.pop("host", found.host), found.path.removeprefix("/")
    if name.startswith("/") and not host:  # the folder of a socket, not encoded behind two slashes
        host, _, name = name.rpartition("/")
    if not name or "/" in name:
        raise ImproperlyConfigured(
            f"{setting} must end in the name of one database; the folder of a unix socket stands encoded in place "
            f"of the host, as in postgres://user:password@%2Frun%2Fpostgresql/n2w. In general: {_FORM}."
        )
    if "options" in options:
        raise ImproperlyConfigured(
            f"{setting} sets options of the session, which a pool such as pgbouncer does not keep: set them in "
            "PostgreSQL, with ALTER ROLE … SET …."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": found.user,
        "PASSWORD": found.password,
        "HOST": host,
        "PORT": found.port or "",
        "CONN_MAX_AGE": _KEPT_SECONDS,
        "CONN_HEALTH_CHECKS": True,
        # A pool in transaction mode (pgbouncer) may give each transaction another session, and a cursor of the
        # server would be lost; nothing here reads so many rows that it needs one. Django prepares no statement.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": _GIVES_UP | options,
    }


def _check(options: dict[str, str], setting: str) -> None:
    """Refuse what PostgreSQL's client would refuse at each connection; a value may be a secret, so none is shown."""
    if {"password", "sslpassword"} & set(options):
        raise ImproperlyConfigured(
            f"{setting} has its password behind the ?, where it may be shown: {_FORM}, and encrypt no key file."
        )
    if set(options) - _OPTIONS:
        raise ImproperlyConfigured(
            f"{setting} has an option after its ? that PostgreSQL's client does not know, or that cannot be set here: "
            f"allowed are {', '.join(sorted(_OPTIONS - {'options'}))}."
        )
    for name in sorted(_NUMBERS & set(options)):
        if not (options[name].isascii() and options[name].isdecimal()):
            raise ImproperlyConfigured(
                f"{setting} has the option {name}, which is no whole number: correct it."
            )
    if options.get("sslmode", "require") not in _SSL_MODES:
        raise ImproperlyConfigured(
            f"{setting} has an unknown sslmode: sslmode is one of {', '.join(_SSL_MODES)}."
        )


DATABASES = {"default": _default()}
