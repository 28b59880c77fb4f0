"""The versions of a script: a list, one version with its differences, and writing an earlier one back."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from policies.models import PhaseResult, Run
from policies.selectors import script_texts
from policies.views import visitor
from scripts_admin import permissions
from scripts_admin.domain.shown import shown
from scripts_admin.folders.looking import FileError
from scripts_admin.models import Folder, ScriptVersion
from scripts_admin.services import restoring, versions

_ON_A_PAGE = 50
_RUNS = 10


@require_safe
@login_required
def listing(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show who changed a file, when, how and why, newest first."""
    folder = folder_of(request, owner)
    rows = ScriptVersion.objects.filter(folder=folder, name=name)
    context = {
        "folder": folder,
        "name": name,
        "page": visitor.page(request, rows.order_by("-pk"), _ON_A_PAGE),
    }
    return render(request, "policies/versions/list.html", context)


@require_safe
@login_required
def detail(request: HttpRequest, owner: str, name: str, version_id: int) -> HttpResponse:
    """Show one version: its text, what it changed, and how it differs from the file now."""
    found = version_of(request, owner, name, version_id)
    person = visitor.person(request)
    earlier = ScriptVersion.objects.filter(folder=found.folder, name=name, pk__lt=found.pk)
    before = earlier.order_by("-pk").first()
    results = PhaseResult.objects.filter(script_version=found).select_related("run")
    seen = results.filter(run__in=Run.objects.visible_to(person)).order_by("-run__created_at")
    page = script_texts.of_version(found)
    context = {
        "folder": found.folder,
        "version": found,
        "before": before,
        "change": script_texts.of_two(before, found),
        "page": page,
        "results": seen[:_RUNS],
        "may_restore": permissions.may_change(person, found.folder)
        and versions.content(found) is not None
        and not page.is_now,
    }
    return render(request, "policies/versions/detail.html", context)


@login_required
def restore(request: HttpRequest, owner: str, name: str, version_id: int) -> HttpResponse:
    """Ask with the difference before one's eyes, and write the version back when the form is sent."""
    found = version_of(request, owner, name, version_id)
    person = visitor.person(request)
    if not permissions.may_change(person, found.folder) or versions.content(found) is None:
        raise Http404
    if request.method == "POST":
        try:
            made = restoring.restore(found, opened=request.POST.get("opened", ""), actor=person)
        except FileError as error:
            messages.error(request, f"{error} Look at the difference below once more.")
        else:
            messages.success(
                request, f"{shown(name)} is as it was: {made.message or 'nothing had changed'}."
            )
            return redirect("script_versions", found.folder.name, name)
    page = script_texts.of_version(found)
    context = {"folder": found.folder, "version": found, "page": page}
    return render(request, "policies/versions/restore.html", context)


def folder_of(request: HttpRequest, owner: str) -> Folder:
    """Return a folder that the person may see; 404 for everybody else, as if there were none."""
    folder = Folder.objects.filter(name=owner).first()
    if folder is None or not permissions.may_see(visitor.person(request), folder):
        raise Http404
    return folder


def version_of(request: HttpRequest, owner: str, name: str, version_id: int) -> ScriptVersion:
    rows = ScriptVersion.objects.filter(folder=folder_of(request, owner), name=name, pk=version_id)
    found = rows.select_related("folder__owner").first()
    if found is None:
        raise Http404
    return found
