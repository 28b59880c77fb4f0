"""Trying a policy's instances: a drill, and a dry login. A worker makes both; the policy's page shows what came."""

from collections.abc import Iterable
from typing import Protocol

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from policies.models import Policy
from policies.services import operations
from policies.services.operations import Actor, Result
from policies.views import visitor
from policies.views.entering import allowed
from scripts_admin import permissions

ELEMENT = (
    "trials"  # the part of the policy's page that shows them, and asks again while one goes on
)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def drill(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Have the instances prove that they thaw by themselves."""
    return _asked(request, owner, name, operations.drill)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def log_in(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Have a worker try to log in to the instances."""
    return _asked(request, owner, name, operations.try_to_log_in)


class _Act(Protocol):
    def __call__(self, policies: Iterable[Policy], *, by: Actor) -> list[Result]: ...


def _asked(request: HttpRequest, owner: str, name: str, act: _Act) -> HttpResponse:
    policy = allowed(request, owner, name, permissions.may_run)
    if request.method == "POST":
        (result,) = act([policy], by=operations.person(visitor.person(request)))
        tell = messages.warning if result.refusal else messages.success
        tell(request, result.sentence)
    return redirect(f"{reverse('policy', args=[owner, name])}#{ELEMENT}")
