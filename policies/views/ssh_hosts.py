"""The pages of the hosts that a folder's scripts log in to: what each shows, and what a person decides."""

from collections.abc import Callable, Mapping
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from policies.selectors import ssh as rows
from policies.services.entry import hosts as entry
from policies.views import visitor
from scripts_admin import permissions
from scripts_admin.forms.ssh import AddHostForm, ExpectForm, TieForm
from scripts_admin.models import Folder, HostState, SshHost
from scripts_admin.services import hosts
from scripts_admin.services.hosts import HostRefusedError
from scripts_admin.views.confirming import confirmed

Deed = Callable[[HttpRequest, SshHost], str]


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def listing(request: HttpRequest, owner: str) -> HttpResponse:
    """List the hosts; a POST adds one."""
    folder = folder_of(request, owner)
    form = AddHostForm(request.POST or None)
    if request.method == "POST":
        _allow(request, folder)
        if form.is_valid():
            return _added(request, folder, form)
    found = rows.host_rows(folder)
    context = {
        "folder": folder,
        "form": form,
        "rows": found,
        "goes_on": any(row.host.is_asked for row in found),
        "changed": [row for row in found if row.host.state == HostState.CHANGED],
        "may_approve": permissions.may_approve_hosts(visitor.person(request), folder),
    }
    part = visitor.wants_a_part(request) and request.method == "GET"
    template = "scripts_admin/hosts_table.html" if part else "scripts_admin/hosts.html"
    return render(request, template, context)


def _added(request: HttpRequest, folder: Folder, form: AddHostForm) -> HttpResponse:
    return _confirmed_add(request, owner=folder.name, form=form)


@confirmed
def _confirmed_add(request: HttpRequest, owner: str, form: AddHostForm) -> HttpResponse:
    folder, given = folder_of(request, owner), form.cleaned_data
    try:
        host = entry.add(
            folder,
            given["name"],
            given["port"],
            by=visitor.person(request),
            expected=given["expected"],
        )
    except HostRefusedError as error:
        messages.error(request, str(error))
        return redirect("ssh-hosts", owner)
    messages.success(request, f"A worker asks {host} for its key.")
    return redirect("ssh-host", owner, host.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def detail(request: HttpRequest, owner: str, host_id: UUID) -> HttpResponse:
    """Show a host with both keys; a POST decides, after a confirmation."""
    folder = folder_of(request, owner)
    host = _host(folder, host_id)
    if request.method == "POST":
        _allow(request, folder)
        return _decided(request, owner=owner, host_id=host_id)
    part = visitor.wants_a_part(request)
    template = "scripts_admin/host_shown.html" if part else "scripts_admin/host.html"
    return render(request, template, _context(request, folder, host))


def _context(request: HttpRequest, folder: Folder, host: SshHost) -> dict[str, object]:
    tied = {"policies": host.policies, "instance_id": host.instance_id}
    return {
        "folder": folder,
        "row": rows.host_row(host),
        "expect": ExpectForm(),
        "tie": _tie_form(folder, host, None, tied),
        "may_approve": permissions.may_approve_hosts(visitor.person(request), folder),
    }


def _tie_form(folder: Folder, host: SshHost, *given: object) -> TieForm:
    known = sorted({*rows.policy_names(folder), *host.policies})
    instances = sorted({*rows.instance_ids(folder), *filter(None, [host.instance_id])})
    form = TieForm(known, instances, *given[:1])
    form.initial = dict(given[1]) if len(given) > 1 and isinstance(given[1], Mapping) else {}
    return form


@confirmed
def _decided(request: HttpRequest, owner: str, host_id: UUID) -> HttpResponse:
    host = _host(folder_of(request, owner), host_id)
    deed = _DEEDS.get(request.POST.get("do", ""))
    if deed is None:
        raise Http404
    try:
        messages.success(request, deed(request, host))
    except HostRefusedError as error:
        messages.error(request, str(error))
    if SshHost.objects.filter(pk=host.pk).exists():
        return redirect("ssh-host", owner, host_id)
    return redirect("ssh-hosts", owner)


def _ask(request: HttpRequest, host: SshHost) -> str:
    entry.ask(host, by=visitor.person(request))
    return f"A worker asks {host} for its key."


def _approve(request: HttpRequest, host: SshHost) -> str:
    fingerprint = request.POST.get("fingerprint", "")
    hosts.approve(host, fingerprint, by=visitor.person(request))
    return f"The key {fingerprint} of {host} is approved: scripts reach the host now."


def _refuse(request: HttpRequest, host: SshHost) -> str:
    hosts.refuse(host, by=visitor.person(request))
    return f"The key that {host} shows is refused."


def _expect(request: HttpRequest, host: SshHost) -> str:
    given = _cleaned(ExpectForm(request.POST))
    after = hosts.expect(host, str(given["expected"]), by=visitor.person(request))
    if after.problem:
        raise HostRefusedError(after.problem)
    if after.expected:
        return f"The next key of {host} is compared with this fingerprint: ask for it."
    return f"The fingerprint is the one of {host}: its key is approved."


def _tie(request: HttpRequest, host: SshHost) -> str:
    given = _cleaned(_tie_form(host.folder, host, request.POST))
    policies, instance = given["policies"], str(given["instance_id"])
    assert isinstance(policies, list)  # noqa: S101 - a field with several choices
    hosts.tie(host, policies, instance, by=visitor.person(request))
    return f"Saved which runs ask {host} for its key."


def _remove(request: HttpRequest, host: SshHost) -> str:
    hosts.remove(host, by=visitor.person(request))
    return f"{host} is off the list: scripts reach it no longer."


_DEEDS: dict[str, Deed] = {
    "ask": _ask,
    "approve": _approve,
    "refuse": _refuse,
    "expect": _expect,
    "tie": _tie,
    "remove": _remove,
}


def _cleaned(form: forms.Form) -> dict[str, object]:
    if not form.is_valid():
        raise HostRefusedError(" ".join(str(e) for errors in form.errors.values() for e in errors))
    return form.cleaned_data


def folder_of(request: HttpRequest, owner: str) -> Folder:
    """Return the folder if the person may see it, or approve hosts of one of its policies; 404 if not."""
    person = visitor.person(request)
    found = Folder.objects.filter(name=owner).select_related("owner").first()
    if found is None:
        raise Http404
    if not permissions.may_see(person, found) and not permissions.may_approve_hosts(person, found):
        raise Http404
    return found


def _allow(request: HttpRequest, folder: Folder) -> None:
    if not permissions.may_approve_hosts(visitor.person(request), folder):
        raise Http404


def _host(folder: Folder, host_id: UUID) -> SshHost:
    found = (
        SshHost.objects.filter(folder=folder, pk=host_id).select_related("folder__owner").first()
    )
    if found is None:
        raise Http404
    return found
