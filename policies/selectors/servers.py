"""The servers that work on this database, as a command and the admin show them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count

from n2wbackup import VERSION
from n2wbackup.lib import clock, encrypted, home
from policies.models import Run, ScriptCopy, Server


class ServerRow(NamedTuple):
    """One server. `state` is alive, silent, stopped, gone or removed; `problems` are sentences."""

    id: str
    host: str
    is_here: bool
    version: str
    state: str
    first_seen_at: datetime
    heartbeat_at: datetime
    unfinished: int
    problems: tuple[str, ...]


def listed() -> list[ServerRow]:
    """Return every server, by the name of its machine."""
    runs = Run.objects.unfinished().values_list("server").annotate(Count("pk")).order_by()
    counts, copies = dict(runs), _copies()
    return [_row(server, counts, copies) for server in Server.objects.all()]


def state(server: Server) -> str:
    """Return one word for the server's state. Silent: no heartbeat, and no other server has said that it is gone."""
    if server.removed_at is not None:
        return "removed"
    if server.stopped_at is not None:
        return "stopped"
    if server.gone_at is not None:
        return "gone"
    limit = timedelta(seconds=settings.N2W_SERVER_GONE_SECONDS)
    return "alive" if abs(clock.now() - server.heartbeat_at) < limit else "silent"


def has_fitting_keys(server: Server) -> bool:
    """Tell whether that server and this one can read each other's secrets."""
    own = encrypted.fingerprints()
    return bool(server.keys) and server.keys[0] in own and own[0] in server.keys


def _copies() -> dict[str, dict[str, Mapping[str, str]]]:
    """Return the files of each folder of each server."""
    found: dict[str, dict[str, Mapping[str, str]]] = {}
    for server, folder, files in ScriptCopy.objects.values_list("server", "folder__name", "files"):
        found.setdefault(server, {})[folder] = files
    return found


def _row(
    server: Server,
    counts: Mapping[str, int],
    copies: Mapping[str, Mapping[str, Mapping[str, str]]],
) -> ServerRow:
    mine = home.server_id()
    is_here, now = server.pk == mine, state(server)
    problems = [*filter(None, [server.doubt]), *server.strangers.values()]
    if is_here and now == "alive" and server.version != VERSION:
        problems.append(
            f"It runs {server.version}, and {VERSION} is installed: drain it, and start it again."
        )
    if not is_here and now in {"alive", "stopped"}:
        problems += _problems(server)
        problems += _folders(copies.get(mine, {}), copies.get(server.pk, {}))
    return ServerRow(
        id=server.pk,
        host=server.host,
        is_here=is_here,
        version=server.version,
        state=now,
        first_seen_at=server.first_seen_at,
        heartbeat_at=server.heartbeat_at,
        unfinished=counts.get(server.pk, 0),
        problems=tuple(problems),
    )


def _problems(server: Server) -> list[str]:
    found = []
    if not has_fitting_keys(server):
        found.append("Its encryption keys differ: set N2W_ENCRYPTION_KEYS to the same on both.")
    if server.version != VERSION:
        found.append(f"Its version differs from {VERSION} here: run the same on both.")
    return found


def _folders(
    own: Mapping[str, Mapping[str, str]], theirs: Mapping[str, Mapping[str, str]]
) -> list[str]:
    found = []
    for folder in sorted({*own, *theirs}):
        ones, others = own.get(folder, {}), theirs.get(folder, {})
        files = sorted(name for name in {*ones, *others} if ones.get(name) != others.get(name))
        if files:
            found.append(
                f"The script folder {folder} differs from the one here ({', '.join(files)}): make it the same on both."
            )
    return found
