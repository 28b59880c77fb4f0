"""The pages of accounts: the server's ways into AWS. No page shows a secret."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from policies.domain.errors import RefusedError
from policies.forms.acting import NameForm
from policies.forms.entries import AccountEntry
from policies.models import Account
from policies.services.entry import accounts, iam, probing
from policies.views import drafts, visitor
from scripts_admin import permissions

ON_A_PAGE = 50


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    rows = Account.objects.visible_to(visitor.person(request)).select_related("owner")
    rows = rows.defer("secret_access_key").annotate(number=Count("policies"))
    page = visitor.page(request, rows.order_by("owner__username", "name"), ON_A_PAGE)
    return render(request, "policies/account/list.html", {"page": page})


@sensitive_post_parameters("new_secret", "access_key_id")
@drafts.required
def new(request: HttpRequest) -> HttpResponse:
    sent = request.POST if request.method == "POST" else drafts.typed(request)
    return _page(request, AccountEntry(visitor.person(request), sent))


@sensitive_post_parameters("new_secret", "access_key_id")
@drafts.required
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for an account that the person may not change and for one that does not exist."""
    row = changeable(request, owner, name)
    sent = request.POST if request.method == "POST" else drafts.typed(request)
    return _page(request, AccountEntry(visitor.person(request), sent, instance=row))


@require_safe
@login_required
def detail(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    return _shown(request, changeable(request, owner, name))


@login_required
def test(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Ask AWS for each permission, and show each answer; nothing is changed."""
    row = changeable(request, owner, name)
    if request.method != "POST":
        return redirect("account", owner, name)
    return _shown(request, row, probing.probe(row))


@login_required
def delete(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Delete once the name was typed; policies that use the account prevent it."""
    row = changeable(request, owner, name)
    is_sent = request.method == "POST"
    form = NameForm(row.name, request.POST if is_sent else None)
    if is_sent and form.is_valid():
        try:
            accounts.delete(row)
        except RefusedError as error:
            messages.error(request, str(error))
            return redirect("account", owner, name)
        messages.success(request, f"The account {owner}/{name} is deleted.")
        return redirect("accounts")
    context = {"row": row, "form": form, "refusal": accounts.why_not_deleted(row)}
    return render(request, "policies/account/delete.html", context)


def changeable(request: HttpRequest, owner: str, name: str) -> Account:
    """Return the account, without its secret, if the person may change it; 404 if not."""
    person = visitor.person(request)
    rows = Account.objects.visible_to(person).select_related("owner").defer("secret_access_key")
    row = rows.filter(owner__username=owner, name=name).first()
    if row is None or not permissions.may_change(person, row):
        raise Http404
    return row


def _page(request: HttpRequest, form: AccountEntry) -> HttpResponse:
    row = form.instance
    old = Account.objects.filter(pk=row.pk).values_list("name", flat=True).first()
    if request.method == "POST" and form.is_valid() and _saved(form, row):
        drafts.forget(request)
        messages.success(
            request, f"The account {row.owner}/{row.name} is saved. Test what it may do."
        )
        return redirect("account", row.owner.username, row.name)
    signature = drafts.signature(visitor.person(request), request.path)
    context = {"form": form, "row": row, "old": old, "signature": signature}
    return render(request, "policies/account/form.html", context)


def _saved(form: AccountEntry, row: Account) -> bool:
    """Save; what changed since the rules were asked is a mistake of the form."""
    try:
        accounts.save(row)
    except ValidationError as error:
        form.add_error(None, ValidationError(error.messages))
        return False
    return True


def _shown(request: HttpRequest, row: Account, probe: probing.Probe | None = None) -> HttpResponse:
    context = {
        "row": row,
        "papers": iam.papers(row),
        "regions": iam.regions(row),
        "probe": probe,
        "policies": row.policies.select_related("owner").order_by("name")[:ON_A_PAGE],
    }
    return render(request, "policies/account/page.html", context)
