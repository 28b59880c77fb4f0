"""The page of this server, for superusers: whether it deletes old snapshots, and their word that it goes on alone."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from n2wbackup.lib import home
from policies.domain.errors import RefusedError
from policies.models import Server
from policies.services.servers import alone
from policies.views.people import for_superusers
from scripts_admin.views.confirming import confirmed


@for_superusers
@never_cache
def detail(request: HttpRequest) -> HttpResponse:
    """Say what keeps this server from deleting, and take the person's word when the form is sent."""
    if request.method == "POST":
        return _confirmed(request)
    kept = alone.as_it_stands()
    row = Server.objects.filter(pk=home.server_id()).first()
    doubts = alone.doubts(row) if row else []
    context = {
        "row": row,
        "kept": "" if kept in doubts else kept,
        "doubts": doubts,
        "digest": alone.digest(doubts),
    }
    return render(request, "policies/server.html", context)


@confirmed
def _confirmed(request: HttpRequest) -> HttpResponse:
    try:
        row = alone.confirm(request.POST.get("shown", ""))
    except RefusedError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Server {row} goes on alone: it deletes what the rules let go.")
    return redirect("server")
