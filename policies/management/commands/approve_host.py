"""Ask a host for its SSH key, and approve it for the scripts of an owner."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.adapters import broker
from policies.api import as_json
from policies.management import output, owners
from policies.services.entry import hosts as entry
from scripts_admin.domain import ssh
from scripts_admin.models import Folder, HostState, SshHost
from scripts_admin.services import hosts
from scripts_admin.services.hosts import HostRefusedError


class Command(output.Command):
    help = (
        "Ask a host for its SSH key, and approve it for the scripts of an owner. With --fingerprint it is approved if "
        "it is the right one, else if you say so. Exit 0 only if the host's key is approved."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", metavar="OWNER")
        parser.add_argument("host", metavar="HOST")
        parser.add_argument("--port", type=int, default=ssh.DEFAULT_PORT)
        parser.add_argument(
            "--fingerprint", default="", help="approve the key with this fingerprint, and no other"
        )
        parser.add_argument("--json", action="store_true", help="print the host as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            folder = owners.folder(options["owner"])
        try:
            host = _asked(folder, options["host"], options["port"], options["fingerprint"])
            if host.state != HostState.APPROVED and not options["fingerprint"]:
                self._let_decide(host)
                host.refresh_from_db()
        except HostRefusedError as error:
            raise CommandError(str(error)) from None
        report = as_json.ssh_host(host)
        self.stdout.write(output.as_json(report) if options["json"] else output.ssh_host(report))
        if host.state != HostState.APPROVED or host.problem:
            raise CommandError(host.problem or f"{host} is not approved.")

    def _let_decide(self, host: SshHost) -> None:
        """Show the key and ask, where somebody is there to answer."""
        seen = host.seen_key
        if seen is None or (host.problem and host.state == HostState.SILENT):
            raise HostRefusedError(host.problem or f"{host} showed no key.")
        if not sys.stdin.isatty():
            raise HostRefusedError(
                f"{host} shows {seen.fingerprint}. Compare it, and say --fingerprint {seen.fingerprint} to "
                "approve it."
            )
        self.stderr.write(f"{host.problem}\n{host} shows {seen.fingerprint}\n{seen.art}".strip())
        self.stderr.write(_on_console(host))
        if input("Is this its key? Type yes to approve it: ") == "yes":
            hosts.approve(host, seen.fingerprint, by=None)


def _asked(folder: Folder, name: str, port: int, fingerprint: str) -> SshHost:
    """Ask the host here, without a worker; it is listed if it was not."""
    with broker.silenced():
        rows = SshHost.objects.select_related("folder__owner")
        try:
            host = rows.filter(folder=folder, name=ssh.host_name(name), port=port).first()
        except ssh.NotAKeyError as error:
            raise HostRefusedError(str(error)) from None
        if host is None:
            host = entry.add(folder, name, port, by=None, expected=fingerprint)
        else:
            if fingerprint:
                hosts.expect(host, fingerprint, by=None)
            entry.ask(host, by=None)
        hosts.fetch(host.pk, entry.console)
    return rows.get(pk=host.pk)


def _on_console(host: SshHost) -> str:
    seen = host.seen_key
    if seen is not None and seen.fingerprint in host.console:
        return f"The console of {host.instance_id} shows the same fingerprint."
    if host.console:
        return f"THE CONSOLE OF {host.instance_id} SHOWS OTHERS: {', '.join(host.console)}."
    return "No console tells its fingerprint: compare it by another way."
