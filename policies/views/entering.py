"""The pages on which a policy is made and changed: one form for everything."""

from collections.abc import Callable
from typing import TypeVar

from django.contrib import messages
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from n2wbackup.lib import row_keys
from policies.forms.whole import WholePolicy
from policies.models import Account, Policy
from policies.models.querysets import OwnedQuerySet
from policies.services.entry import linting, picking
from policies.views import drafts, visitor
from scripts_admin import permissions
from scripts_admin.domain import names
from scripts_admin.models import User
from scripts_admin.services import folders

SUFFIX = "-copy"
Row = TypeVar("Row", bound=models.Model)


@drafts.required
def new(request: HttpRequest) -> HttpResponse:
    """Let the person choose an account, if they have several, and fill in the form."""
    person = visitor.person(request)
    sent = drafts.sent(request)
    like = _like(request, person)
    accounts = Account.objects.visible_to(person).select_related("owner")
    accounts = accounts.defer("secret_access_key").order_by("owner__username", "name")
    account = like.account if like else _account(request, accounts, sent)
    if account is None:
        context = {"accounts": accounts, "wanted": request.GET.get("account", "")}
        return render(request, "policies/form/choose_account.html", context)
    policy = Policy(owner=account.owner, account=account, folder=folders.of(account.owner))
    if like is not None and sent is None:
        _copy(like, policy)
    return _page(request, WholePolicy(policy, sent, like=like))


@drafts.required
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for a policy that the person may not change and for one that does not exist."""
    policy, person = changeable(request, owner, name), visitor.person(request)
    is_own = permissions.may_share(person, policy)
    may_rename = is_own and permissions.may_change(person, policy.folder)
    scripts_of = person if may_rename else None
    return _page(
        request,
        WholePolicy(policy, drafts.sent(request), is_own=is_own, scripts_of=scripts_of),
    )


def changeable(request: HttpRequest, owner: str, name: str) -> Policy:
    """Return the policy if the person may change it; 404 if not."""
    return allowed(request, owner, name, permissions.may_change)


def allowed(request: HttpRequest, owner: str, name: str, may: Callable[..., bool]) -> Policy:
    """Return the policy if the person may do this with it; 404 if not."""
    person = visitor.person(request)
    rows = Policy.objects.select_related("owner", "account", "account__owner", "folder", "last_run")
    found = (
        rows.defer("account__secret_access_key")
        .visible_to(person)
        .filter(owner__username=owner, name=name)
        .first()
    )
    if found is None or not may(person, found):
        raise Http404
    return found


def _like(request: HttpRequest, person: User) -> Policy | None:
    """Return the policy that the new one begins as; 404 if it is not the person's, as the new one is its owner's."""
    label = request.GET.get("like", "")
    owner, _, name = label.partition("/")
    if not label or not person.is_active:
        return None
    return allowed(request, owner, name, permissions.may_delete)


def _copy(like: Policy, policy: Policy) -> None:
    for field in Policy._meta.concrete_fields:
        if field.editable and field.name not in {"id", "owner", "folder", "account"}:
            setattr(policy, field.attname, getattr(like, field.attname))
    policy.name = f"{like.name[: 64 - len(SUFFIX)]}{SUFFIX}"
    policy.enabled = False  # two policies that back up the same at the same time disturb each other


def _account(
    request: HttpRequest, rows: OwnedQuerySet[Account], sent: QueryDict | None
) -> Account | None:
    """Return the account that was named, or the only one there is."""
    number = sent.get("account", "") if sent is not None else ""
    if row_keys.is_key(number):
        return rows.filter(pk=int(number)).first()
    owner, _, name = request.GET.get("account", "").partition("/")
    if name:
        return rows.filter(owner__username=owner, name=name).first()
    few = list(rows[:2]) if "choose" not in request.GET else []
    return few[0] if len(few) == 1 else None


def _page(request: HttpRequest, whole: WholePolicy) -> HttpResponse:
    wanted = request.POST.get("do", "save") if request.method == "POST" else "look"
    if wanted == "save":
        return _saved(request, whole)
    if wanted == "check":
        if whole.is_valid():
            whole.look_at_retention()
        return render(request, "policies/form/checks.html", _context(request, whole, is_early=True))
    if wanted == "targets":
        context = _context(request, whole) | _targets(whole, look=True)
        return render(request, "policies/form/targets.html", context)
    context = _context(request, whole) | _targets(whole, look=wanted == "show")
    return render(request, "policies/form/policy.html", context)


def _saved(request: HttpRequest, whole: WholePolicy) -> HttpResponse:
    saved = whole.save()
    if saved is None:
        context = _context(request, whole, is_checked=True) | _targets(whole, look=False)
        status = 409 if whole.theirs else 200
        return render(request, "policies/form/policy.html", context, status=status)
    drafts.forget(request)
    messages.success(request, f"{saved.label} is saved.{_what_is_missing(saved)}")
    return redirect("policy", saved.owner.username, saved.name)


def _what_is_missing(policy: Policy) -> str:
    """Return a sentence if nothing will ever start a run of the policy by itself."""
    if not policy.enabled:
        return " It is disabled, so no schedule starts it: enable it when it shall run by itself."
    if not policy.schedules.exists():
        return (
            " It follows no schedule, so nothing starts it by itself: choose one, or make one here."
        )
    return ""


def _context(
    request: HttpRequest, whole: WholePolicy, *, is_checked: bool = False, is_early: bool = False
) -> dict[str, object]:
    policy = whole.policy
    typed = str(whole.settings["name"].value() or "") if whole.is_own else policy.name
    is_name = names.is_policy_name(typed)
    person = visitor.person(request)
    return {
        "whole": whole,
        "owner": policy.owner,
        "is_new": not policy.pk,
        "signature": drafts.signature(person, request.path),
        "mistakes": whole.mistakes(is_early=is_early) if is_checked or is_early else [],
        "scripts": linting.places(policy.folder, typed, person) if is_name else None,
        "folder": policy.folder,
        "typed_name": typed if is_name else "",
    }


def _targets(whole: WholePolicy, *, look: bool) -> dict[str, object]:
    is_shown = look and whole.is_own  # what else is in the account is the owner's
    shelf = picking.look(whole.account, whole.choosing.regions) if is_shown else None
    rows, hidden = whole.choosing.rows(shelf)
    return {"rows": rows, "hidden": hidden, "shelf": shelf}
