"""Errors of the database and of the disk, as one sentence for the person at the keyboard.

The sentence names the home in use, because the usual cause is a command that looks at another home than meant.
No sentence contains the database's password.
"""

import errno
import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from n2wbackup.lib import redaction
from n2wbackup.lib.home import RuntimeFolderError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_RETRY = "Then run the command again."
# What SQLite says (it has no codes for Python 3.10 and older drivers), and PostgreSQL's SQLSTATE.
_NO_TABLE = ("no such table", "no such column", "has no column named")
_NO_TABLE_STATES = {"42P01", "42703", "3F000"}
_READ_ONLY_STATES = {"25006", "42501"}
# "terminating connection", "the database system is shutting down" and the like.
_AWAY_CLASSES = ("08", "57")
_FULL_DISK = f"cannot be written, because its disk is full ({{text}}): free some space. {_RETRY}"
_AWAY = "cannot be reached ({text}): start it, or correct DATABASE_URL."
_OTHER = f"refused ({{text}}): look at the database's log. {_RETRY}"


class _Kind(NamedTuple):
    """A kind of trouble: PostgreSQL's states, what SQLite or a library says, and our sentence after the place."""

    states: frozenset[str]
    parts: tuple[str, ...]
    said: str

    def fits(self, text: str, state: str) -> bool:
        return state in self.states or any(part in text for part in self.parts)


_KINDS = (
    _Kind(frozenset({"53100"}), ("disk is full",), _FULL_DISK),
    _Kind(
        frozenset(_READ_ONLY_STATES),
        ("readonly database", "unable to open database file"),
        "cannot be written ({text}): we are the user {who}. Run every command as the server's account, and check "
        "the permissions of the file and its folder and that the disk is mounted read-write.",
    ),
    _Kind(
        frozenset(),
        ("file is not a database", "malformed", "unsupported file format"),
        "is not a usable SQLite database ({text}): restore it from a backup, "
        "or set N2W_HOME to the home that you mean.",
    ),
    _Kind(
        frozenset(),
        ("database is locked",),
        f"is held by another process that writes ({{text}}): wait for it. {_RETRY}",
    ),
    _Kind(
        frozenset(),
        ("disk I/O error",),
        "cannot be read or written ({text}): check the disk and the kernel's log.",
    ),
    _Kind(
        frozenset({"28000", "28P01"}),
        ("authentication failed", "no password supplied"),
        "refuses the login ({text}): correct user and password in DATABASE_URL.",
    ),
    _Kind(
        frozenset({"3D000"}),
        ("does not exist",),
        "does not exist ({text}): create it, or correct DATABASE_URL.",
    ),
)


def sentence(error: BaseException) -> str:
    """Return the sentence, or "" for an error that is none of the environment's: that one is a bug."""
    if isinstance(error, DatabaseError | InterfaceError):
        return of_database(error)
    if isinstance(error, RuntimeFolderError):
        return str(error)
    if isinstance(error, OSError):
        return _of_disk(error)
    return ""


def place() -> str:
    """Return the database and the home in words, without a password."""
    database = settings.DATABASES["default"]
    if str(database["ENGINE"]).endswith("sqlite3"):
        return f"The database {connection.settings_dict['NAME']} of the home {settings.N2W_HOME}"
    host = database.get("HOST") or "this machine"
    name = connection.settings_dict["NAME"]
    return f"The database {name} on {host} (DATABASE_URL; the home is {settings.N2W_HOME})"


def of_database(error: Exception) -> str:
    """Return the sentence for a database's error; "" if the statement itself was wrong."""
    text, state = _text(error), _state(error)
    if state in _NO_TABLE_STATES or any(part in text for part in _NO_TABLE):
        return _not_migrated(text)
    if isinstance(error, ProgrammingError) and state not in _READ_ONLY_STATES:
        return ""
    if type(error) not in {DatabaseError, OperationalError, InterfaceError, InternalError} and (
        state not in _READ_ONLY_STATES
    ):
        return ""
    return _of_server(text, state)


def not_migrated(missing: Sequence[str]) -> str:
    """Return the sentence for a database that lacks these migrations."""
    lacks = f"lacks {len(missing)} migrations, first {missing[0]}"
    return (
        f"{place()} is not migrated (it {lacks}): run `manage.py migrate`, "
        "or set N2W_HOME to the home that you mean."
    )


def unapplied_migrations(database: BaseDatabaseWrapper) -> list[str]:
    """Return `app.name` of each migration that the database lacks, in order. Raises DatabaseError."""
    executor = MigrationExecutor(database)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def _not_migrated(text: str) -> str:
    try:
        connection.close()  # a failed transaction would refuse the question
        missing = unapplied_migrations(connections[DEFAULT_DB_ALIAS])
    except (DatabaseError, InterfaceError):
        missing = []
    if missing:
        return not_migrated(missing)
    return (
        f"{place()} lacks something that its migrations made ({text}): restore it from a backup, "
        "or set N2W_HOME to the home that you mean."
    )


def _of_server(text: str, state: str) -> str:
    full = _is_full()
    kind = next((k for k in _KINDS if k.fits(text, state)), None)
    said = _FULL_DISK if full else kind.said if kind else _OTHER
    if not full and kind is None and (not state or state.startswith(_AWAY_CLASSES)):
        said = _AWAY
    return f"{place()} {said.format(text=text, who=_who())}"


def _of_disk(error: OSError) -> str:
    what = error.filename if isinstance(error.filename, str | Path) else "A file"
    of_home = f"the home is {settings.N2W_HOME}" if settings.configured else "no home is known yet"
    if error.errno in _FULL:
        return (
            f"{what} cannot be written, because its disk is full ({of_home}): "
            f"free some space. {_RETRY}"
        )
    if error.errno in _REFUSED:
        return (
            f"{what} cannot be used ({error.strerror}; {of_home}): we are the user {_who()}. "
            "Run every command as the server's account, or correct the permissions."
        )
    if error.errno == errno.EIO:
        return f"{what} cannot be read or written ({error.strerror}): check the disk and the kernel's log."
    return ""


def _text(error: Exception) -> str:
    password = str(settings.DATABASES["default"].get("PASSWORD") or "")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redaction.mask("; ".join(lines[:3]), [password])


def _state(error: Exception) -> str:
    return str(getattr(error.__cause__, "sqlstate", "") or "")


def _is_full() -> bool:
    """Tell whether the disk of SQLite's file has no space left: SQLite itself calls that by many names."""
    database = settings.DATABASES["default"]
    if not str(database["ENGINE"]).endswith("sqlite3"):
        return False
    try:
        found = os.statvfs(Path(connection.settings_dict["NAME"]).parent)
    except OSError:
        return False
    return found.f_bavail == 0


def _who() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
