"""What a person would look at first when something is wrong: each check is a line, "ok" or what to do.

A check never raises: what it meets becomes its line.
"""

import os
import platform
import pwd
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import django
from django.conf import settings
from django.core import checks
from django.db import connection

from n2wbackup import VERSION
from n2wbackup.lib import clock, home, trouble
from n2wbackup.processes import serve_lock, several
from policies.adapters import price_table, session
from policies.domain.costs.prices import OLD_DAYS
from policies.selectors import health as parts
from policies.selectors import linux_people, servers
from scripts_admin.apps import SCRIPTS, TRUSTED
from scripts_admin.domain.linux_register import Kind
from scripts_admin.folders.provisioning import machine, state
from scripts_admin.guard import launching
from scripts_admin.guard.launching import LaunchError

ROLES = ("web", "beat", "worker freeze", "worker tick", "worker work", "watchdog")
_LOW_BYTES = 500_000_000
_LOW_MEMORY_BYTES = 50_000_000
_TITLE = "n2wbackup "


class Finding(NamedTuple):
    """One line: the subject, whether it is well, and what was found or what to do."""

    name: str
    ok: bool
    text: str


def findings() -> Iterator[Finding]:
    """Yield a finding for each check, in the order in which a person would mend them."""
    for name, check in _CHECKS:
        try:
            problem, text = check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are wanted, too
            said = trouble.sentence(error) or f"This check failed: {type(error).__name__}: {error}."
            problem, text = True, said
        yield Finding(name, not problem, text)


def _versions() -> tuple[bool, str]:
    parts = [
        f"n2wbackup {VERSION}",
        f"Python {platform.python_version()}",
        f"Django {django.get_version()}",
        f"SQLite {sqlite3.sqlite_version}" if connection.vendor == "sqlite" else connection.vendor,
        f"{platform.system()} {platform.release()}",
    ]
    return False, ", ".join(parts)


def _home() -> tuple[bool, str]:
    return False, f"{settings.N2W_HOME}, server id {home.server_id()}"


def _images() -> tuple[bool, str]:
    """Say whether snapshots can be opened; a server that never does needs nothing for it."""
    why = session.images().why_not()
    if why:
        return False, f"Snapshots cannot be opened here, for files and proofs. {why}"
    return False, "Snapshots can be opened: `allow_mounting OWNER` says whose."


def _account() -> tuple[bool, str]:
    owner = Path(settings.N2W_HOME).stat().st_uid
    if owner != os.geteuid():
        return True, (
            f"We are the user {_name(os.geteuid())}, but the home belongs to {_name(owner)}: run every command "
            f"as {_name(owner)}."
        )
    wrong = [
        each for each in checks.run_checks(tags=[SCRIPTS, TRUSTED]) if each.level >= checks.ERROR
    ]
    if wrong:
        return True, " ".join(f"{each.msg} ({each.id})" for each in wrong)
    problem = _launcher_problem()
    if problem:
        return True, problem
    return False, f"{_name(owner)}; scripts run as {settings.N2W_RUN_SCRIPTS_AS}"


def _launcher_problem() -> str:
    """Return a sentence if this process needs the launcher and cannot start it, else ""."""
    if os.geteuid() == 0 or settings.N2W_RUN_SCRIPTS_AS == "self":
        return ""
    try:
        launching.check()
    except LaunchError as error:
        return f"Scripts cannot run as other accounts: {error}."
    return ""


def _database() -> tuple[bool, str]:
    missing = trouble.unapplied_migrations(connection)
    if missing:
        return True, trouble.not_migrated(missing)
    return False, f"{trouble.place()} is reachable and migrated"


def _broker() -> tuple[bool, str]:
    url = settings.N2W_REDIS_URL
    if not url and not _serves():
        return False, "embedded; it starts with `manage.py serve`"
    import redis  # noqa: PLC0415 - a tenth of this command, and its help and completion need none of it

    try:
        with redis.Redis.from_url(
            url or f"unix://{settings.N2W_BROKER_SOCKET}",
            socket_timeout=2,
            socket_connect_timeout=2,
        ) as client:
            client.ping()
    except (redis.RedisError, OSError):
        what = "The broker of REDIS_URL" if url else "The embedded broker"
        where = "start it, or correct REDIS_URL" if url else f"look at {home.logs() / 'valkey.log'}"
        return True, f"{what} does not answer: {where}. Runs go on by the tick when it is back."
    return False, "REDIS_URL answers" if url else "embedded, answers"


def _processes() -> tuple[bool, str]:
    if not _serves():
        return True, f"No server runs on {settings.N2W_HOME}: start it with `manage.py serve`."
    shown = Counter(_titles())
    missing = [role for role in ROLES if role not in shown]
    missing += _of_several(shown)
    if missing:
        return True, f"Not running: {', '.join(missing)}. Look at the logs in {home.logs()}."
    return False, ", ".join(ROLES)


def _of_several(shown: Mapping[str, int]) -> list[str]:
    """Return which workers of several processes lack some, as their parents' titles tell how many there should be."""
    found = []
    for title in shown:
        role, _, wanted = title.removeprefix(several.TITLE).rpartition(" ")
        running = shown.get(f"worker {role}", 0)
        if title.startswith(several.TITLE) and wanted.isdecimal() and 0 < running < int(wanted):
            found.append(f"{int(wanted) - running} of the {wanted} processes of worker {role}")
    return found


def _release() -> tuple[bool, str]:
    """Compare what is installed with what runs: a server keeps the code that it began with."""
    here = [each for each in servers.listed() if each.is_here and each.state == "alive"]
    if not _serves() or not here:
        return False, f"{VERSION} is installed, and no server runs"
    if here[0].problems:
        return True, f"The server is of another release. {here[0].problems[0]}"
    return False, f"the server runs {VERSION}, which is installed"


def _serves() -> bool:
    path = home.serve_lock()
    return serve_lock.held(path) or serve_lock.shared(path)


def _titles() -> Iterator[str]:
    """Yield what the processes of this home show; those of other accounts cannot be told apart and count."""
    wanted = f"N2W_HOME={settings.N2W_HOME}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (
                (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").rstrip()
            )
            if title.startswith(_TITLE) and _has(entry / "environ", wanted):
                yield title.removeprefix(_TITLE)
        except OSError:  # it has just ended
            continue


def _has(environ: Path, wanted: bytes) -> bool:
    # setproctitle may write over the environment that /proc shows: an empty one says nothing.
    try:
        found = environ.read_bytes()
    except PermissionError:
        return True
    return b"N2W_HOME=" not in found or wanted in found.split(b"\0")


def _disk() -> tuple[bool, str]:
    runtime = home.runtime()
    free, memory = shutil.disk_usage(settings.N2W_HOME).free, shutil.disk_usage(runtime).free
    text = (
        f"{_megabytes(free)} are free for {settings.N2W_HOME}, {_megabytes(memory)} for {runtime}"
    )
    if free < _LOW_BYTES or memory < _LOW_MEMORY_BYTES:
        return True, f"Only {text}: free some space, or move the home to a larger disk."
    return False, text


def _permissions() -> tuple[bool, str]:
    root = Path(settings.N2W_HOME)
    wrong = [
        f"{path} has mode {mode:o} but must not be open to others: `chmod {wanted:o} {path}`"
        for path, wanted in _private(root)
        if (mode := stat.S_IMODE(path.stat().st_mode)) & ~wanted
    ]
    if not os.access(root, os.W_OK | os.X_OK):
        wrong.append(f"{root} cannot be written by {_name(os.geteuid())}")
    if wrong:
        return True, "; ".join(wrong) + "."
    return False, "the home and its secrets are closed to other accounts"


def _private(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield each path that others must not read, with the widest mode that it may have."""
    yield root, 0o711
    for name, wanted in (("secrets", 0o700), ("run", 0o700), ("logs", 0o700), ("spool", 0o711)):
        if (root / name).is_dir():
            yield root / name, wanted
    yield from ((path, 0o600) for path in root.glob("secrets/*"))
    yield from ((path, 0o644) for path in root.glob("db.sqlite3"))


def _linux_accounts() -> tuple[bool, str]:
    on = machine.found()
    if not on.register:
        return False, "provision_user made none"
    wrong = linux_people.problems(on)
    if wrong:
        return True, " ".join(wrong)
    count = sum(each.kind == Kind.TENANT for each in on.register.values())
    seen = (
        ""
        if os.geteuid() == 0
        else f"; rules in the kernel: {state.command('--all', '--dry-run')}, as root"
    )
    return False, f"{count} of people, {on.shared} for scripts, {on.server} for the server{seen}"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _megabytes(number: int) -> str:
    return f"{number // 1_000_000} MB"


def _prices() -> tuple[bool, str]:
    table = price_table.load()
    age = table.age_days(clock.now().date())
    said = f"the price list for estimates is of {table.as_of} ({age} days old)"
    if age <= OLD_DAYS:
        return False, said
    return False, f"{said}: newer prices may be set by N2W_PRICES"


def _deleting() -> tuple[bool, str]:
    part = parts.deleting(parts.own_row(), strangers=True)
    return part.state != parts.OK, part.text


_CHECKS: tuple[tuple[str, Callable[[], tuple[bool, str]]], ...] = (
    ("versions", _versions),
    ("home", _home),
    ("account", _account),
    ("database", _database),
    ("broker", _broker),
    ("processes", _processes),
    ("release", _release),
    ("disk", _disk),
    ("permissions", _permissions),
    ("accounts", _linux_accounts),
    ("snapshots", _images),
    ("deleting", _deleting),
    ("prices", _prices),
)
