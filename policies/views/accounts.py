"""The pages of accounts: the server's ways into AWS. No page shows a secret."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from policies.forms.entries import AccountEntry
from policies.models import Account
from policies.services.entry import accounts, iam, probing
from policies.views import drafts, first_use, owned, visitor

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
    sent = drafts.sent(request)
    return _page(request, AccountEntry(visitor.person(request), sent))


@sensitive_post_parameters("new_secret", "access_key_id")
@drafts.required
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for an account that the person may not change and for one that does not exist."""
    row = changeable(request, owner, name)
    sent = drafts.sent(request)
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
    return owned.deleted(request, row, accounts.delete, accounts.why_not_deleted)


def changeable(request: HttpRequest, owner: str, name: str) -> Account:
    """Return the account, without its secret, if the person may change it; 404 if not."""
    return owned.changeable(Account.objects.defer("secret_access_key"), request, owner, name)


def _page(request: HttpRequest, form: AccountEntry) -> HttpResponse:
    row = form.instance
    old = Account.objects.filter(pk=row.pk).values_list("name", flat=True).first()
    if request.method == "POST" and form.is_valid() and owned.saved(form, row, accounts.save):
        drafts.forget(request)
        messages.success(
            request, f"The account {row.owner}/{row.name} is saved. Test what it may do."
        )
        return redirect("account", row.owner.username, row.name)
    signature = drafts.signature(visitor.person(request), request.path)
    context = {"form": form, "row": row, "old": old, "signature": signature}
    return render(request, "policies/account/form.html", context)


def _shown(request: HttpRequest, row: Account, probe: probing.Probe | None = None) -> HttpResponse:
    policies = list(row.policies.select_related("owner").order_by("name")[:ON_A_PAGE])
    context = {
        "row": row,
        "papers": iam.papers(row),
        "regions": iam.regions(row),
        "probe": probe,
        "policies": policies,
        "first_use": () if policies else first_use.of_person(visitor.person(request), None),
    }
    return render(request, "policies/account/page.html", context)
