"""The page of a folder's SSH keys. Only public halves are shown."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from policies.views import visitor
from scripts_admin import permissions
from scripts_admin.forms.ssh import BringKeyForm
from scripts_admin.hosts.keypairs import KeyRefusedError
from scripts_admin.models import Folder, SshKey, User
from scripts_admin.services import keys
from scripts_admin.views.confirming import confirmed


def folder_of(request: HttpRequest, owner: str) -> Folder:
    """Return the folder if the person may see it; 404 if not, and if there is none."""
    rows = Folder.objects.visible_to(visitor.person(request)).select_related("owner")
    found = rows.filter(name=owner).first()
    if found is None:
        raise Http404
    return found


@sensitive_post_parameters("private", "passphrase")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def listing(request: HttpRequest, owner: str) -> HttpResponse:
    """Show the keys; a POST makes, imports, retires or removes one, after a confirmation."""
    folder = folder_of(request, owner)
    if request.method == "POST":
        if not permissions.may_change(visitor.person(request), folder):
            raise Http404
        return _changed(request, owner=owner)
    return _page(request, folder, BringKeyForm())


@confirmed
def _changed(request: HttpRequest, owner: str) -> HttpResponse:
    folder = folder_of(request, owner)
    form = BringKeyForm(request.POST if request.POST.get("do") == "bring" else None)
    try:
        said = _done(request, folder, form)
    except KeyRefusedError as error:
        if form.is_bound:
            form.add_error(None, str(error))
            return _page(request, folder, form)
        messages.error(request, str(error))
        return redirect("ssh-keys", owner)
    if not said:
        return _page(request, folder, form)
    messages.success(request, said)
    return redirect("ssh-keys", owner)


@sensitive_variables()
def _done(request: HttpRequest, folder: Folder, form: BringKeyForm) -> str:
    """Do what the button says, and return the sentence about it; "" if the form has mistakes."""
    person, wanted = visitor.person(request), request.POST.get("do", "")
    if wanted == "make":
        key = keys.make(folder, by=person)
        return f"The key {key.fingerprint} is made: add its line to authorized_keys on your hosts."
    if wanted == "bring":
        return _brought(folder, form, person)
    key = _named(request, folder)
    if wanted == "retire":
        keys.retire(key, by=person)
        return (
            f"The key {key.fingerprint} is retired and destroyed: remove its line from your hosts."
        )
    if wanted == "remove":
        keys.remove(key, by=person)
        return f"The key {key.fingerprint} is off the list."
    raise Http404


def _brought(folder: Folder, form: BringKeyForm, person: User) -> str:
    if not form.is_valid():
        return ""
    given = form.cleaned_data
    key = keys.bring(folder, given["private"], given["passphrase"], by=person)
    return f"The key {key.fingerprint} is imported."


def _named(request: HttpRequest, folder: Folder) -> SshKey:
    known = {str(key.pk): key for key in SshKey.objects.filter(folder=folder).defer("private")}
    key = known.get(request.POST.get("key", ""))
    if key is None:
        raise Http404
    return key


def _page(request: HttpRequest, folder: Folder, form: BringKeyForm) -> HttpResponse:
    rows = list(SshKey.objects.filter(folder=folder).defer("private"))
    context = {
        "folder": folder,
        "form": form,
        "valid": [row for row in rows if row.is_valid],
        "retired": [row for row in rows if not row.is_valid],
        "may_change": permissions.may_change(visitor.person(request), folder),
    }
    return render(request, "scripts_admin/keys.html", context)
