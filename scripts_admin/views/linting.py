"""What is wrong with a file, on its page, and the one click that mends its mode."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from scripts_admin import permissions
from scripts_admin.folders.looking import FileError
from scripts_admin.services import scripts
from scripts_admin.services.scripts import Text
from scripts_admin.views import reached


@login_required
def make_executable(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Let a file be run, if it is still the one that the person saw."""
    found = reached.folder(request, owner, permissions.may_change)
    there = reached.file(found, name)
    if request.method != "POST":
        return redirect("script-file", owner, name)
    if there.content is None:
        messages.error(request, there.entry.why)
        return redirect("script-file", owner, name)
    opened = request.POST.get("opened", "")
    text = Text(
        name, there.content, opened or "unknown", executable=True, message="made executable"
    )
    try:
        scripts.save(found, text, actor=reached.person(request))
    except FileError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{name} is executable now.")
    return redirect("script-file", owner, name)
