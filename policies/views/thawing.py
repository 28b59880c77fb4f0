"""What a person does about an application that may be frozen. A stranger gets 404, as on every page."""

from collections.abc import Iterable
from typing import Protocol

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from policies.models import Policy
from policies.services import operations
from policies.services.operations import Actor, Result
from policies.views import visitor
from scripts_admin import permissions


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def thaw(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Run after again now."""
    return _done(request, owner, name, operations.thaw_now)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def thawed(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Trust the person's word that the application is thawed."""
    return _done(request, owner, name, operations.confirm_thaw)


class _Act(Protocol):
    def __call__(self, policies: Iterable[Policy], *, by: Actor) -> list[Result]: ...


def _done(request: HttpRequest, owner: str, name: str, act: _Act) -> HttpResponse:
    """Do it, and say what was done or why it was refused, where the person came from."""
    person = visitor.person(request)
    rows = Policy.objects.select_related("owner", "folder", "account").visible_to(person)
    rows = rows.defer("account__secret_access_key")
    policy = rows.filter(owner__username=owner, name=name).first()
    if policy is None or not permissions.may_run(person, policy):
        raise Http404
    if request.method == "POST":
        (result,) = act([policy], by=operations.person(person))
        tell = messages.error if result.refusal else messages.success
        tell(request, result.sentence)
        back = request.POST.get("next", "")
        if url_has_allowed_host_and_scheme(back, allowed_hosts=None):
            return redirect(back)
    return redirect("policy", owner, name)
