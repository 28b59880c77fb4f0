"""What freezes an application and what thaws it again, as far as a text tells."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts_admin.domain.lint import calls
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.commands import Word

MYSQL = frozenset(("mysql", "mariadb"))
MONGO = frozenset(("mongosh", "mongo"))
REDIS = frozenset(("redis-cli", "valkey-cli", "keydb-cli"))
_MYSQL_VALUED = "ehuPSDpN"
_LOCK = re.compile(
    r"flush\s+(?:local\s+)?tables\b[^;]{0,500}?(?:with\s+read\s+lock|for\s+export)|lock\s+tables?\s|backup\s+stage\s+(?:start|block)|lock\s+instance\s+for\s+backup"
)
_UNLOCK = re.compile(r"unlock\s+(?:tables|instance)|backup\s+stage\s+end")


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to freeze: what it is called, and how it is thawed."""

    what: str
    thaw: str


KINDS: Mapping[str, Kind] = {
    "file system": Kind("freezes a file system", "fsfreeze -u (or xfs_freeze -u)"),
    "mysql": Kind("locks tables", "the end of the client that holds the lock"),
    "mongodb": Kind("locks MongoDB (fsyncLock)", "db.fsyncUnlock()"),
    "postgresql": Kind(
        "begins a backup of PostgreSQL (pg_backup_start)", "pg_backup_stop, in the same session"
    ),
    "redis": Kind("pauses clients of Redis (CLIENT PAUSE)", "CLIENT UNPAUSE"),
    "service": Kind("stops a service", "systemctl start"),
    "container": Kind("pauses a container", "docker unpause"),
    "process": Kind("stops processes (SIGSTOP)", "kill -CONT"),
}


def statements(call: Call) -> Iterator[Word]:
    """Yield the statements that a database client is certainly given."""
    if call.name in MYSQL:
        given = calls.options(call.words, _MYSQL_VALUED, ("--execute",)).values("-e", "--execute")
    elif call.name == "psql":
        given = calls.options(call.words, "cdfhLoPRFTUpv", ("--command",)).values("-c", "--command")
    elif call.name in MONGO:
        given = calls.options(call.words, "", ("--eval", "--host", "--port", "-u", "-p")).values(
            "--eval"
        )
    else:
        return
    yield from given
    if call.fed is not None and not given:
        yield call.fed


def said(call: Call) -> str:
    """Return all statements that a call is given, in small letters; enough of them to be judged."""
    return ";".join(word.text for word in statements(call))[:20000].lower()


def locks(text: str) -> bool:
    return _LOCK.search(text) is not None


def unlocks(text: str) -> bool:
    return _UNLOCK.search(text) is not None


def freezes(call: Call) -> str:
    """Return the kind of freeze that a call is; empty if it is none."""
    return _kind(call, thaws=False)


def thaws(call: Call) -> str:
    """Return the kind of thaw that a call is; empty if it is none."""
    return _kind(call, thaws=True)


def _kind(call: Call, *, thaws: bool) -> str:  # noqa: PLR0911 - a table of programs, one line each
    words = [word.text for word in call.words[:50]]
    name, first = call.name, words[0] if words else ""
    if name in ("fsfreeze", "xfs_freeze"):
        wanted = ("-u", "--unfreeze") if thaws else ("-f", "--freeze")
        return "file system" if any(word in wanted for word in words) else ""
    if name in MYSQL:
        text = said(call)
        return "mysql" if (unlocks(text) if thaws else locks(text)) else ""
    if name in MONGO:
        return "mongodb" if ("fsyncunlock" if thaws else "fsynclock") in said(call) else ""
    if name == "psql":
        found = (
            ("pg_backup_stop", "pg_stop_backup")
            if thaws
            else ("pg_backup_start", "pg_start_backup")
        )
        return "postgresql" if any(word in said(call) for word in found) else ""
    if name in REDIS:
        upper = [word.upper() for word in words]
        wanted_word = "UNPAUSE" if thaws else "PAUSE"
        return "redis" if "CLIENT" in upper and wanted_word in upper else ""
    if name in ("systemctl", "service"):
        return (
            "service"
            if any(word in (("start", "restart") if thaws else ("stop",)) for word in words)
            else ""
        )
    if name in ("docker", "podman"):
        return "container" if first == ("unpause" if thaws else "pause") else ""
    if name in ("kill", "pkill", "killall"):
        stops = ("-CONT", "-SIGCONT", "-18") if thaws else ("-STOP", "-SIGSTOP", "-19")
        return "process" if any(word in stops for word in words) else ""
    return ""
