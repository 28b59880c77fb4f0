"""What is checked before a server works on a database with others: its keys, and that its id is its own."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction

from n2wbackup.lib import clock, home
from n2wbackup.lib.cas import compare_and_set
from policies.domain.errors import RefusedError
from policies.models import Server
from policies.selectors import servers
from policies.services.servers import heart
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.services import audit
from scripts_admin.services.audit import Subject


def check() -> None:
    """Raise RefusedError with what to do if this server must not work on the database."""
    mine = home.server_id()
    for server in Server.objects.filter(removed_at=None):
        if server.pk == mine:
            _refuse_copied_home(server)
        else:
            _refuse_other_keys(server)


def remove(key: str) -> Server:
    """Say that the server does not come back; RefusedError, and nothing changed, if it is alive or unknown."""
    server = Server.objects.filter(pk=key).first()
    if server is None:
        message = f"There is no server {key!r}: list them with `manage.py list_servers`."
        raise RefusedError(message)
    if servers.state(server) == "alive":
        message = f"Server {server} is alive: stop it first, with `manage.py drain` on its machine."
        raise RefusedError(message)
    now = clock.now()
    expected = {"heartbeat_at": server.heartbeat_at}
    same = Server.objects.filter(pk=key)
    with transaction.atomic():
        if not compare_and_set(same, expected, removed_at=now, gone_at=server.gone_at or now):
            message = f"Server {server} has just come back: it was not removed."
            raise RefusedError(message)
        audit.record(Action.REMOVED, Subject(Kind.SERVER, server.host, server.pk))
    return server


def _refuse_other_keys(server: Server) -> None:
    if servers.has_fitting_keys(server):
        return
    message = (
        f"The encryption keys of this server differ from those of server {server}: the two could not read each "
        "other's secrets. Set N2W_ENCRYPTION_KEYS to the same keys on both; without it they are in "
        "N2W_HOME/secrets/n2w-encryption-keys. If that server does not come back, first run "
        f"`manage.py remove_server {server.pk}`."
    )
    raise RefusedError(message)


def _refuse_copied_home(server: Server) -> None:
    now = clock.now()
    fresh = timedelta(seconds=settings.N2W_SERVER_GONE_SECONDS)
    if server.host == heart.host() or server.stopped_at or abs(now - server.heartbeat_at) > fresh:
        return
    message = (
        f"The server id {server.pk} is in use on {server.host}: each server needs an N2W_HOME of its own, not a "
        f"copy. Delete the file server-id and the folder spool in the copied home. If {server.host} has just died "
        f"and this machine takes its place, start again in {fresh.total_seconds():.0f} seconds."
    )
    raise RefusedError(message)
