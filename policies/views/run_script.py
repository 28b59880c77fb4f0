"""The exact text that a run ran, and how it differs from the file as it is now."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from policies.models import PhaseResult, Run
from policies.selectors import script_texts
from policies.views import visitor
from scripts_admin import permissions


@require_safe
@login_required
def text(request: HttpRequest, run_id: UUID, phase: str, attempt: int) -> HttpResponse:
    """Show the text of one attempt; whoever may not see the script folder gets a 404."""
    return _shown(request, run_id, PhaseResult.objects.filter(phase=phase, attempt=attempt))


@require_safe
@login_required
def text_there(
    request: HttpRequest, run_id: UUID, instance: str, phase: str, attempt: int
) -> HttpResponse:
    """Show the text of one attempt on an instance, like that of one on the server."""
    rows = PhaseResult.remote.filter(target__instance_id=instance, phase=phase, attempt=attempt)
    return _shown(request, run_id, rows)


def _shown(request: HttpRequest, run_id: UUID, rows: QuerySet[PhaseResult]) -> HttpResponse:
    person = visitor.person(request)
    runs = Run.objects.visible_to(person).filter(pk=run_id)
    found = rows.filter(run__in=runs).select_related("script_version__folder").first()
    version = found.script_version if found is not None else None
    if found is None or version is None or not permissions.may_see(person, version.folder):
        raise Http404
    context = {
        "run": runs.get(),
        "result": found,
        "version": version,
        "page": script_texts.of_version(version),
    }
    return render(request, "policies/run/script.html", context)
