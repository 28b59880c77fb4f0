"""The auditor's report: restore points, proofs and recoveries of a time, to read, to print and as CSV."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock, sheets
from policies.forms import evidence as forms
from policies.selectors import evidence
from policies.views import visitor

# A page is read at once; a longer one is for printing, and takes its time.
SHOWN, PRINTED = 100, 2_000


@require_safe
@login_required
def report(request: HttpRequest) -> HttpResponse:
    """Show the report, the newest line first."""
    person = visitor.person(request)
    form, asked = forms.asked(request.GET)
    most = PRINTED if "printed" in request.GET else SHOWN
    lines, more = evidence.newest(person, asked, most) if asked else ([], False)
    context = {
        "form": form,
        "asked": asked,
        "lines": lines,
        "more": more,
        "printed": PRINTED if more and most < PRINTED else 0,
        "summary": evidence.summary(lines),
        "made_at": clock.now(),
        "query": request.GET.urlencode(),
    }
    return render(request, "policies/evidence.html", context)


@require_safe
@login_required
def export(request: HttpRequest) -> HttpResponseBase:
    """Give the whole report as CSV."""
    _, asked = forms.asked(request.GET)
    rows = evidence.rows(visitor.person(request), asked) if asked else iter(())
    name = f"recovery-report-{clock.now():%Y-%m-%d}.csv"
    return sheets.answer(request, name, evidence.COLUMNS, rows)
