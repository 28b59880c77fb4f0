"""The admin page of the servers on this database: read-only."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from policies.admin.runs import ReadOnly
from policies.models import Server
from policies.selectors import servers

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Server]
else:  # it takes no types at run time
    _Admin = admin.ModelAdmin


@admin.register(Server)
class ServerAdmin(ReadOnly, _Admin):
    """Which servers there are; the machines are nobody's business but the administrators'."""

    list_display = ("host", "id", "version", "state", "heartbeat_at", "first_seen_at")
    fields = (
        *("id", "host", "version", "state"),
        *("first_seen_at", "heartbeat_at", "stopped_at", "gone_at", "removed_at"),
        *("confirmed_at", "doubt"),
    )

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes it by name
        return request.user.has_perm("policies.view_server")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @admin.display(description="state")
    def state(self, server: Server) -> str:
        return servers.state(server)
