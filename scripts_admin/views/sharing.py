"""The pages on which owners share. To everybody else they do not exist."""

from collections.abc import Mapping
from typing import NamedTuple

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from scripts_admin import linux_accounts, permissions
from scripts_admin.domain.rights import Right
from scripts_admin.forms.sharing import GROUP, PERSON, ShareForm, ticked
from scripts_admin.linux_accounts import AccountError
from scripts_admin.models import Folder, User
from scripts_admin.permissions import Share
from scripts_admin.services import sharing
from scripts_admin.views.confirming import confirmed

FOLDER_WORDS: Mapping[Right, str] = {
    Right.VIEW: "sees the scripts and reads what is written in them, passwords too",
    Right.EDIT: "changes, adds and deletes scripts",
    Right.RUN: "tests the scripts from the pages",
    Right.APPROVE_HOSTS: "says which hosts the scripts may speak to over SSH",
}


class Line(NamedTuple):
    """One share, with a box for each right that can be ticked; `kind` and `name` are what the form sends."""

    kind: str
    name: str
    boxes: tuple[tuple[Right, bool], ...]
    may_log_in: bool


class Shared(NamedTuple):
    """What the page says of the thing: its name, the page above, the rights in words, and a warning."""

    row: Model
    title: str
    above: str
    above_label: str
    words: Mapping[Right, str]
    warning: str = ""


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def folder(request: HttpRequest, owner: str) -> HttpResponse:
    """404 both for a folder that the person may not share and for one that does not exist."""
    assert isinstance(request.user, User)  # noqa: S101 - login_required lets nobody else in
    found = Folder.objects.visible_to(request.user).filter(name=owner).first()
    if found is None or not permissions.may_share(request.user, found):
        raise Http404
    warning = (
        f"Whoever edits this folder runs code of their own as {_account(found)}, with everything that this "
        "account may read, change and reach. Give the right to edit only to people to whom you would give "
        "the login of that account."
    )
    title = f"Share the script folder of {found.name}"
    above = reverse("script-folder", args=[found.name])
    return page(request, Shared(found, title, above, "The folder", FOLDER_WORDS, warning))


def _account(found: Folder) -> str:
    try:
        return f"the Linux account {linux_accounts.name_of_script_account(found)}"
    except AccountError:
        return "the Linux account of the scripts"


def page(request: HttpRequest, shared: Shared) -> HttpResponse:
    """Show with whom it is shared, or change that; the caller has asked whether the person may."""
    if request.method == "POST":
        return _changed(request, shared)
    return _shown(request, shared, ShareForm(shared.row))


@confirmed
def _changed(request: HttpRequest, shared: Shared) -> HttpResponse:
    assert isinstance(request.user, User)  # noqa: S101 - login_required lets nobody else in
    form = ShareForm(shared.row, request.POST)
    if not form.is_valid():
        return _shown(request, shared, form)
    rights = () if request.POST.get("do") == "remove" else form.given
    try:
        is_new = sharing.share(shared.row, form.whom, rights, by=request.user)
    except sharing.SharingError as error:
        form.add_error("name", str(error))
        return _shown(request, shared, form)
    name = sharing.named(form.whom)
    said = f"{name} may: {', '.join(rights)}." if rights else f"{name} has no right here any more."
    messages.success(request, said if is_new else f"Nothing changed: {said}")
    return redirect(request.path)


def _shown(request: HttpRequest, shared: Shared, form: ShareForm) -> HttpResponse:
    sent = request.POST.getlist("rights") if form.is_bound else ()
    offered = ticked(shared.row)
    context = {
        "shared": shared,
        "form": form,
        "lines": [_line(share, offered) for share in permissions.shares(shared.row)],
        "words": [(right, shared.words[right]) for right in permissions.grantable(shared.row)],
        "boxes": [(right, right in sent) for right in offered],
    }
    return render(request, "scripts_admin/sharing.html", context)


def _line(share: Share, offered: tuple[Right, ...]) -> Line:
    boxes = tuple((right, right in share.rights) for right in offered)
    if isinstance(share.whom, Group):
        return Line(GROUP, share.whom.name, boxes, may_log_in=True)
    return Line(PERSON, share.whom.get_username(), boxes, may_log_in=share.whom.is_active)
