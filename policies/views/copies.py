"""The pages of copies: the places of a policy, and what became of its copies there.

A page that a person may not see is answered as if it did not exist.
"""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from policies.domain.errors import RefusedError
from policies.forms.copies import CopyRuleForm
from policies.models import CopyRule, Policy, Run
from policies.selectors import copies
from policies.services.copies import keeping, repeating
from policies.services.entry import copy_rules
from policies.services.retention.planning import Edited
from policies.views import drafts, visitor
from policies.views.entering import allowed, changeable
from scripts_admin import permissions

NEWEST = 50


@require_safe
@login_required
def places(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show where the policy's snapshots are copied to, and the newest copies in each place."""
    policy = allowed(request, owner, name, permissions.may_see)
    shown = []
    for rule in _rules(policy):
        verdicts = keeping.of_rule(rule)
        kept = sum(verdict.keep for verdict in verdicts)
        shown.append((rule, kept, len(verdicts) - kept, copies.newest(rule, NEWEST)))
    context = {
        "policy": policy,
        "places": shown,
        "may_change": permissions.may_change(visitor.person(request), policy),
    }
    return render(request, "policies/copies/places.html", context)


@drafts.required
def rule(request: HttpRequest, owner: str, name: str, key: int | None = None) -> HttpResponse:
    """Enter a place, or change one."""
    policy = changeable(request, owner, name)
    present = _rule(policy, key) if key is not None else None
    form = CopyRuleForm(policy, drafts.sent(request), present=present)
    lets_go = _lets_go(request, form, present)
    if request.method == "POST" and form.is_valid() and not lets_go:
        try:
            copy_rules.replace(policy, form.wanted())
        except ValidationError as error:  # somebody else changed the rules meanwhile
            form.add_error(None, error)
        else:
            messages.success(request, _saved(form, present))
            return redirect("policy-copies", owner, name)
    context = {
        "policy": policy,
        "form": form,
        "present": present,
        "lets_go": lets_go,
        "signature": drafts.signature(visitor.person(request), request.path),
    }
    return render(request, "policies/copies/rule.html", context)


def _lets_go(request: HttpRequest, form: CopyRuleForm, present: CopyRule | None) -> Edited | None:
    """Return what the changed rules let go as well, unless the person has agreed to exactly that many.

    Where the place changes, nothing goes: the copies in the present one stay.
    """
    if present is None or request.method != "POST" or not form.is_valid():
        return None
    entered = form.entered(present)
    if not copy_rules.is_same_place(present, entered):
        return None
    change = keeping.edited(present, entered.rules)
    more = len(change.more)
    return change if more and request.POST.get("let_go") != str(more) else None


def _saved(form: CopyRuleForm, present: CopyRule | None) -> str:
    said = "The place is saved: snapshots of new runs are copied to it."
    if present is None or copy_rules.is_same_place(present, form.entered(present)):
        return said
    return (
        f"{said} The copies in {present} stay, and no rule lets them go any more: AWS charges for them until you "
        "delete them."
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def remove(request: HttpRequest, owner: str, name: str, key: int) -> HttpResponse:
    """Say what follows, and remove the place when the form is sent. Its copies stay."""
    policy = changeable(request, owner, name)
    present = _rule(policy, key)
    if request.method == "POST":
        copy_rules.replace(policy, [row for row in _rules(policy) if row.pk != present.pk])
        messages.success(request, f"Nothing is copied to {present} any more. Its copies stay.")
        return redirect("policy-copies", owner, name)
    context = {"policy": policy, "present": present}
    return render(request, "policies/copies/remove.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def again(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Have the run's failed copies made again; with a place, have the run copied to it."""
    person = visitor.person(request)
    run = Run.objects.visible_to(person).filter(pk=run_id).first()
    if run is None or not permissions.may_run(person, run):
        raise Http404
    if request.method != "POST":
        return redirect("run", run.pk)
    place = request.POST.get("place", "")
    try:
        number = repeating.copy(run, place) if place else repeating.again(run)
    except RefusedError as error:
        messages.error(request, str(error))
    else:
        made = "1 copy is" if number == 1 else f"{number} copies are"
        messages.success(request, f"{made} made{'' if place else ' again'}.")
    return redirect("run", run.pk)


def _rules(policy: Policy) -> list[CopyRule]:
    rules = policy.copy_rules.select_related("account", "policy__owner").order_by("pk")
    return list(rules.defer("account__secret_access_key"))


def _rule(policy: Policy, key: int) -> CopyRule:
    found = next((row for row in _rules(policy) if row.pk == key), None)
    if found is None:
        raise Http404
    return found
