"""The pages of runs. A page that a person may not see is answered as if it did not exist."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock, keyset, sheets
from policies.forms.runs import RunFilter
from policies.models import Run
from policies.selectors import runs
from policies.views import visitor
from scripts_admin import permissions

ON_A_PAGE = 50
READ_TOGETHER = 1_000
_COLUMNS = (
    *("id", "owner_name", "policy_name", "trigger", "attempt", "requested_by", "state"),
    *("consistency", "reason", "scheduled_for", "created_at", "started_at", "fired_at"),
    *("ended_at", "late_seconds", "freeze_seconds", "hold_seconds", "thaw_by"),
)
_READ = (*(name for name in _COLUMNS if name != "late_seconds"), "ordered_at")


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the runs that the address asks for, the newest first."""
    asked = _asked(request)
    page = visitor.part(request, asked.found(), runs.NEWEST, ON_A_PAGE)
    context = {
        "filter": asked,
        "page": page,
        "runs": [runs.row(run) for run in page.rows],
    }
    return render(request, "policies/runs.html", context)


@require_safe
@login_required
def export(request: HttpRequest) -> HttpResponseBase:
    """Give all runs that the address asks for as CSV, the newest first."""
    found = _asked(request).found().only(*_READ)
    parts = permissions.parts(Run, visitor.person(request))
    batches = keyset.batches(found, runs.NEWEST, READ_TOGETHER, parts)
    rows = ([getattr(run, name) for name in _COLUMNS] for some in batches for run in some)
    return sheets.answer(request, f"runs-{clock.now():%Y-%m-%d}.csv", _COLUMNS, rows)


def _asked(request: HttpRequest) -> RunFilter:
    return RunFilter(request.GET, runs.listed(visitor.person(request)), request=request)
