"""The audit: who did what, when and from where. Everybody sees what concerns their own things, superusers see all."""

from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock, sheets
from policies.forms.audit import AuditFilter
from policies.selectors import audit
from policies.selectors.audit import Page, Row
from policies.views import visitor
from scripts_admin import permissions

ON_A_PAGE = 50
_HEAD = ("at", "who", "source", "address", "action", "what", "name", "key", "changes", "reason")


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the entries that the address asks for, the newest first."""
    person = visitor.person(request)
    narrowed = AuditFilter(request.GET)
    asked, said = narrowed.asked, request.GET
    page = Page([], "", "")
    if asked is not None:
        after, before = said.get("after", ""), said.get("before", "")
        page = audit.page(person, asked, ON_A_PAGE, after=after, before=before)
    sees_everything = permissions.sees_everything(person)
    context = {"filter": narrowed, "page": page, "sees_everything": sees_everything}
    return render(request, "policies/audit.html", context)


@require_safe
@login_required
def export(request: HttpRequest) -> HttpResponseBase:
    """Give all entries that the address asks for as CSV, the newest first."""
    asked = AuditFilter(request.GET).asked
    rows = audit.everything(visitor.person(request), asked) if asked is not None else iter(())
    return sheets.answer(request, f"audit-{clock.now():%Y-%m-%d}.csv", _HEAD, _cells(rows))


def _cells(rows: Iterator[Row]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        changes = "; ".join(f"{c.field}: {c.before} → {c.after}" for c in row.changes)
        yield (
            *(row.at, row.name, row.source, row.address, row.action, row.kind, row.label),
            *(row.key, changes, row.reason),
        )
