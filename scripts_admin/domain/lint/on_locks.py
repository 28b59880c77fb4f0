"""Rules about locks that end with the client that took them."""

import re
from collections.abc import Iterator

from scripts_admin.domain.lint import freezing
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script

# What keeps a client in its session behind the lock.
_WAITS = re.compile(r"\bsleep\s*\(|\bget_lock\s*\(|\\!|\bsystem\s|pg_sleep|waitfor")
_LOCKS_IN_A_TRANSACTION = re.compile(
    r"\block\s+table\b|pg_advisory_lock|pg_advisory_xact_lock|pg_export_snapshot"
)


def ends_with_its_client(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        text = freezing.said(call)
        if not text or _stays(text):
            continue
        if call.name in freezing.MYSQL and freezing.locks(text) and not freezing.unlocks(text):
            said = (
                f"In {script.name}, this lock ends with its client, as {call.name} exits right behind the "
                "statement, and "
                "nothing is locked any more when the snapshots are made: keep that client connected until "
                "after ends it, "
                "as the recipe for MariaDB does (docs/recipes/mariadb)."
            )
        elif call.name == "psql" and "pg_backup_start" in text and "pg_backup_stop" not in text:
            said = (
                f"In {script.name}, this backup ends with its client, as psql exits right behind pg_backup_start, and "
                "PostgreSQL gives the backup up: keep that session open until after calls pg_backup_stop in "
                "it, as the "
                "recipe for PostgreSQL does (docs/recipes/postgresql)."
            )
        elif call.name == "psql" and _LOCKS_IN_A_TRANSACTION.search(text):
            said = (
                f"In {script.name}, this lock ends with its client, as psql exits right behind the statement: "
                "keep that "
                "session open until after ends it."
            )
        else:
            continue
        yield Remark(Level.ERROR, "lock-ends-with-client", said, line=call.line)


def _stays(text: str) -> bool:
    """Tell whether the client waits behind its lock."""
    return _WAITS.search(text) is not None


def unlocked_by_another(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        text = freezing.said(call)
        if call.name in freezing.MYSQL and freezing.unlocks(text) and not freezing.locks(text):
            said = (
                f"In {script.name}, this client unlocks nothing, as UNLOCK TABLES releases the locks of its own "
                "session only: end the client that before left behind, such as with KILL and its connection id."
            )
            yield Remark(Level.ERROR, "unlocks-nothing", said, line=call.line)


def old_backup_mode(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        text = freezing.said(call)
        if call.name == "psql" and ("pg_start_backup" in text or "pg_stop_backup" in text):
            said = (
                f"{script.name} calls pg_start_backup or pg_stop_backup, which PostgreSQL 15 does not have "
                "any more: call "
                "pg_backup_start and pg_backup_stop in one session, or nothing at all, as one set of "
                "snapshots needs none."
            )
            yield Remark(Level.WARNING, "old-backup-mode", said, line=call.line)


RULES = (ends_with_its_client, unlocked_by_another, old_backup_mode)
