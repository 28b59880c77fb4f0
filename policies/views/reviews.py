"""The second pair of eyes: what waits, one review, and the switch."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from policies.selectors import reviews
from policies.views import visitor
from policies.views.versions import folder_of, version_of
from scripts_admin import permissions
from scripts_admin.domain.shown import shown
from scripts_admin.services import approvals
from scripts_admin.services.approvals import NotApprovedError

_LONGEST = 1000


@require_safe
@login_required
def listing(request: HttpRequest, owner: str) -> HttpResponse:
    """Show what waits for somebody's approval, and whether this folder asks for it."""
    folder = folder_of(request, owner)
    context = {
        "folder": folder,
        "pending": approvals.pending(folder),
        "may_change": permissions.may_change(visitor.person(request), folder),
        "may_share": permissions.may_share(visitor.person(request), folder),
    }
    return render(request, "policies/reviews/list.html", context)


@login_required
def look(request: HttpRequest, owner: str) -> HttpResponse:
    """Look for changes that were made over SSH, without waiting for the next look."""
    folder = folder_of(request, owner)
    if not permissions.may_change(visitor.person(request), folder):
        raise Http404
    if request.method == "POST":
        approvals.look(folder)
        messages.success(request, f"The folder of {folder} was looked at just now.")
    return redirect("script_reviews", folder.name)


@login_required
def review(request: HttpRequest, owner: str, name: str, version_id: int) -> HttpResponse:
    """Show the difference, lint and the last test of a version; approve it when the form is sent."""
    version = version_of(request, owner, name, version_id)
    person = visitor.person(request)
    if request.method == "POST":
        message = request.POST.get("message", "").strip()[:_LONGEST]
        try:
            approvals.approve(version, actor=person, message=message)
        except NotApprovedError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{shown(name)} is approved: from now on windows run it.")
            return redirect("script_reviews", version.folder.name)
    context = {"folder": version.folder, "review": reviews.of(version, person)}
    return render(request, "policies/reviews/review.html", context)


@login_required
def second_pair(request: HttpRequest, owner: str) -> HttpResponse:
    """Ask, and begin or end the second pair of eyes when the form is sent; only for who may share the folder."""
    folder = folder_of(request, owner)
    person = visitor.person(request)
    if not permissions.may_share(person, folder):
        raise Http404
    if request.method == "POST":
        on = request.POST.get("on") == "yes"
        approvals.switch(folder, on=on, actor=person)
        said = "is on: changes wait" if on else "is off: changes run at once"
        messages.success(request, f"The second pair of eyes of {folder} {said}.")
        return redirect("script_reviews", folder.name)
    context = {"folder": folder, "scripts": approvals.scripts(folder)}
    return render(request, "policies/reviews/switch.html", context)
