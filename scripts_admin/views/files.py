"""The pages of one file: look, edit, rename, copy, delete, download. A text that somebody typed is never lost."""

import difflib

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from scripts_admin import linux_accounts, permissions, ports
from scripts_admin.domain import texts
from scripts_admin.domain.phases import Phase
from scripts_admin.folders import linting
from scripts_admin.folders.looking import ChangedError, File, FileError
from scripts_admin.forms.scripts import CopyForm, OpenedForm, RenameForm, TextForm
from scripts_admin.models import Folder
from scripts_admin.selectors import shelf
from scripts_admin.services import scripts
from scripts_admin.services.scripts import Copy, Text
from scripts_admin.views import reached
from scripts_admin.views.reached import NO_DRAFT, Draft

_START = "#!/bin/bash\nset -euo pipefail\n\n"
_MOST_LINES = 4000  # of a comparison


@require_safe
@login_required
def detail(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    found = reached.folder(request, owner)
    there = reached.file(found, name)
    context = _about(request, found, there) | {
        "text": there.text if there.content is not None else None,
        "remarks": linting.of_file(found, there),
    }
    return render(request, "scripts_admin/file.html", context)


@login_required
def new(request: HttpRequest, owner: str, draft: Draft = NO_DRAFT) -> HttpResponse:
    found = reached.folder(request, owner, permissions.may_change)
    wanted = request.GET.get("name", "")
    initial = {"name": wanted, "text": "" if wanted and not _is_script(wanted) else _START}
    form = TextForm(reached.sent(request, draft), is_new=True, initial=initial)
    context = {
        "folder": found,
        "form": form,
        "is_new": True,
        "name": wanted,
        "signature": draft.signature,
    }
    if request.method != "POST" or not form.is_valid():
        return _editor(request, context)
    name = form.cleaned_data["name"]
    text = Text(name, form.content, message=form.cleaned_data["message"])
    try:
        scripts.save(found, text, actor=reached.person(request))
    except FileError as error:
        form.add_error("name" if isinstance(error, ChangedError) else None, str(error))
        return _editor(request, context)
    messages.success(request, f"{name} is saved.")
    return redirect("script-file", owner, name)


@login_required
def edit(request: HttpRequest, owner: str, name: str, draft: Draft = NO_DRAFT) -> HttpResponse:
    """Save with the version that the text was opened at; whoever comes second sees both and decides."""
    found = reached.folder(request, owner, permissions.may_change)
    context: dict[str, object] = {"folder": found, "name": name, "signature": draft.signature}
    data = reached.sent(request, draft)
    if data is not None:
        form = TextForm(data, is_new=False, has_crlf="has_crlf" in data)
        context["form"] = form
        is_sent = request.method == "POST" and form.is_valid()
        return _saved(request, found, context, form) if is_sent else _editor(request, context)
    there = reached.file(found, name)
    if there.content is None:
        messages.error(request, there.entry.why)
        return redirect("script-file", owner, name)
    has_crlf = texts.has_windows_line_ends(there.content)
    initial = {
        "text": there.text,
        "opened": there.entry.version,
        "keep_crlf": not texts.is_script(there.content),
    }
    context["form"] = TextForm(is_new=False, has_crlf=has_crlf, initial=initial)
    return _editor(request, context)


def _saved(
    request: HttpRequest, found: Folder, context: dict[str, object], form: TextForm
) -> HttpResponse:
    name = str(context["name"])
    entered = form.cleaned_data
    text = Text(name, form.content, entered["opened"], message=entered["message"])
    try:
        scripts.save(found, text, actor=reached.person(request))
    except ChangedError as error:
        return _conflict(request, context, form, error)
    except FileError as error:
        form.add_error(None, str(error))
        return _editor(request, context)
    messages.success(request, f"{name} is saved.")
    return redirect("script-file", found.name, name)


def _conflict(
    request: HttpRequest, context: dict[str, object], form: TextForm, error: ChangedError
) -> HttpResponse:
    """Show both texts. The form has the person's own, and would now replace the other one."""
    theirs = error.theirs
    data = request.POST.copy()
    data["opened"] = theirs.entry.version if theirs else ""
    again = TextForm(data, is_new=False, has_crlf="keep_crlf" in form.fields)
    text = theirs.text if theirs and theirs.content is not None else ""
    more = {
        "form": again,
        "conflict": str(error),
        "theirs": theirs,
        "their_text": text,
        "is_gone": theirs is None,
        "difference": _difference(text, form.content.decode(errors="replace")),
    }
    return _editor(request, context | more, status=409)


def _difference(theirs: str, mine: str) -> str:
    before, after = theirs.splitlines(), mine.splitlines()
    if len(before) + len(after) > _MOST_LINES:
        return ""
    lines = difflib.unified_diff(before, after, "saved now", "yours", lineterm="")
    return "\n".join(lines)


@login_required
def rename(request: HttpRequest, owner: str, name: str, draft: Draft = NO_DRAFT) -> HttpResponse:
    found = reached.folder(request, owner, permissions.may_change)
    there = reached.file(found, name)
    initial = {"name": name, "opened": there.entry.version}
    form = RenameForm(reached.sent(request, draft), initial=initial)
    if request.method == "POST" and form.is_valid():
        to, opened = form.cleaned_data["name"], form.cleaned_data["opened"]
        try:
            scripts.rename(found, name, to, opened=opened, actor=reached.person(request))
        except FileError as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"{name} is now called {to}.")
            return redirect("script-file", owner, to)
    return _small(request, found, there, form, deed="Rename", signature=draft.signature)


@login_required
def delete(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    found = reached.folder(request, owner, permissions.may_change)
    there = reached.file(found, name)
    form = OpenedForm(reached.sent(request), initial={"opened": there.entry.version})
    if request.method == "POST" and form.is_valid():
        opened = form.cleaned_data["opened"]
        try:
            hidden = scripts.delete(found, name, opened=opened, actor=reached.person(request))
        except FileError as error:
            form.add_error(None, str(error))
        else:
            said = f"{name} is deleted. For {scripts.KEPT_DAYS} days it can be brought back below"
            messages.success(request, f"{said}; until then it is in the folder as {hidden}.")
            return redirect("script-folder", owner)
    return _small(request, found, there, form, deed="Delete")


@login_required
def copy(request: HttpRequest, owner: str, name: str, draft: Draft = NO_DRAFT) -> HttpResponse:
    """Copy within what the person may change: a text that they may only see does not become theirs here."""
    found = reached.folder(request, owner, permissions.may_change)
    there = reached.file(found, name)
    person = reached.person(request)
    targets = {
        each.pk: each
        for each in Folder.objects.visible_to(person)
        if permissions.may_change(person, each)
    }
    form = CopyForm(
        reached.sent(request, draft),
        file_name=name,
        policies=ports.policies().of_folders(list(targets), person.pk),
        initial={"opened": there.entry.version},
    )
    if request.method == "POST" and form.is_valid():
        key, to = form.target
        target = found if key is None else targets[key]
        wanted = Copy(name, form.cleaned_data["opened"], target, to)
        try:
            scripts.copy(found, wanted, actor=person)
        except FileError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{name} is copied to {target}/{to}.")
            return redirect("script-file", target.name, to)
    return _small(request, found, there, form, deed="Copy", signature=draft.signature)


@require_safe
@login_required
def download(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Send a text as a file. What is not shown is not sent either."""
    there = reached.file(reached.folder(request, owner), name)
    if there.content is None:
        raise Http404
    answer = HttpResponse(there.content, content_type="application/octet-stream")
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    safe = plain.replace("\\", "_").replace('"', "_")
    answer["Content-Disposition"] = f'attachment; filename="{safe}"'
    return answer


def _small(
    request: HttpRequest,
    found: Folder,
    there: File,
    form: object,
    *,
    deed: str,
    signature: str = "",
) -> HttpResponse:
    context = _about(request, found, there) | {
        "form": form,
        "deed": deed,
        "signature": signature,
        "kept_days": scripts.KEPT_DAYS,
    }
    return render(request, "scripts_admin/file_deed.html", context)


def _about(request: HttpRequest, found: Folder, there: File) -> dict[str, object]:
    entry = there.entry
    return {
        "folder": found,
        "entry": entry,
        "name": entry.name,
        "mode": shelf.mode(entry.mode),
        "file_owner": linux_accounts.name_of(entry.uid),
        "may_change": permissions.may_change(reached.person(request), found),
    }


def _editor(request: HttpRequest, context: dict[str, object], status: int = 200) -> HttpResponse:
    form = context["form"]
    assert isinstance(form, TextForm)  # noqa: S101 - each caller has put it there
    text = str(form["text"].value() or "")
    name = str(context["name"])
    language = texts.language(name, text)
    return render(
        request, "scripts_admin/edit.html", context | {"language": language}, status=status
    )


def _is_script(name: str) -> bool:
    return any(name.startswith(f"{phase}_") for phase in Phase)
