"""The pages of runs. A page that a person may not see is answered as if it did not exist."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from policies.selectors import policies, runs
from policies.views import visitor

SHOWN = 100


@require_safe
def index(_: HttpRequest) -> HttpResponse:
    """Redirect to the list of runs."""
    return redirect("runs")


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    found = runs.recent(user=visitor.person(request), limit=SHOWN)
    frozen = policies.may_be_frozen(visitor.person(request))
    return render(request, "policies/runs.html", {"runs": found, "frozen": frozen})


@require_safe
@login_required
def detail(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """404 both for a run that the person may not see and for one that does not exist."""
    rows = runs.whole().visible_to(visitor.person(request))
    found = rows.select_related("policy__owner").filter(pk=run_id).first()
    if found is None:
        raise Http404
    shown = runs.detail(found)
    context = {"run": shown.run, "detail": shown, "policy": found.policy}
    return render(request, "policies/run.html", context)
