"""The pages of what no policy backs up, of what was left out on purpose, and of tag enrolment.

A row that a person may not see is answered as if it did not exist.
"""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_safe

from n2wbackup.lib import row_keys
from policies.domain.errors import RefusedError
from policies.forms import coverage as forms
from policies.models import EnrolRule, InventoryItem, LeftOut, Policy
from policies.selectors import coverage
from policies.services.coverage import deciding
from policies.services.entry import rules
from policies.views import drafts, visitor
from scripts_admin import permissions
from scripts_admin.models import User

ON_A_PAGE = 50
NAMED = 100  # policies that a field suggests


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show what nothing backs up, the largest first."""
    person = visitor.person(request)
    narrowed = forms.CoverageFilter(request.GET)
    filters = narrowed.filters()
    page = visitor.page(request, coverage.shown(coverage.uncovered(person, filters)), ON_A_PAGE)
    context = {
        "page": page,
        "items": [coverage.item(row) for row in page],
        "filter": narrowed,
        "is_narrowed": filters != coverage.Filters(),
        "looks": coverage.looks(person),
        "decision": forms.DecisionForm(),
        "policies": _named(person),
        "back": request.get_full_path(),
    }
    return render(request, "policies/coverage.html", context)


@login_required
def decide(request: HttpRequest) -> HttpResponse:
    """Add the chosen rows to a policy, or leave them out; 404 if one of them is not the person's."""
    if request.method != "POST":
        return redirect("coverage")
    person = visitor.person(request)
    keys = {key for key in request.POST.getlist("item") if row_keys.is_key(key)}
    rows = InventoryItem.objects.visible_to(person).select_related("account__owner")
    items = list(
        rows.defer("account__secret_access_key").filter(pk__in=[*keys][:ON_A_PAGE]).order_by("pk")
    )
    if len(items) < len(keys):
        raise Http404
    try:
        messages.success(request, _decided(request, person, items))
    except RefusedError as error:
        messages.error(request, str(error))
    return redirect(_back(request, "coverage"))


def _decided(request: HttpRequest, person: User, items: list[InventoryItem]) -> str:
    if not items:
        raise RefusedError("Nothing was chosen: tick the instances and volumes first.")
    if request.POST.get("do") == "leave":
        return deciding.leave_out(items, request.POST.get("reason", ""), by=person)
    label = request.POST.get("policy", "").replace("\0", "")
    policy = forms.policy_of(label, person)
    if policy is None:
        raise RefusedError(forms.NO_POLICY.format(label or "without a name"))
    return deciding.add(items, policy, by=person)


@require_safe
@login_required
def left_out(request: HttpRequest) -> HttpResponse:
    """Show what was left out on purpose, the newest decision first."""
    page = visitor.page(request, coverage.left_out(visitor.person(request)), ON_A_PAGE)
    context = {"page": page, "decisions": coverage.decisions(list(page))}
    return render(request, "policies/coverage_left_out.html", context)


@login_required
def take_back(request: HttpRequest, decision_id: int) -> HttpResponse:
    """Take a decision back."""
    person = visitor.person(request)
    rows = LeftOut.objects.visible_to(person).select_related("account__owner")
    found = rows.defer("account__secret_access_key").filter(pk=decision_id).first()
    if found is None:
        raise Http404
    if request.method == "POST":
        messages.success(request, deciding.take_back(found, by=person))
    return redirect("coverage_left_out")


@login_required
def look_again(request: HttpRequest) -> HttpResponse:
    """Ask AWS again soon."""
    if request.method == "POST":
        messages.success(request, deciding.look_again(visitor.person(request)))
    return redirect(_back(request, "coverage"))


@drafts.required
def enrolment(request: HttpRequest) -> HttpResponse:
    """Show the rules, and add one."""
    person = visitor.person(request)
    form = forms.RuleForm(drafts.sent(request), person=person)
    if request.method == "POST" and form.is_valid():
        rule = form.rule()
        try:
            rules.add(rule, by=person)
        except ValidationError as error:
            for name, sentences in _by_field(error).items():
                form.add_error(name if name in form.fields else None, sentences)
        else:
            drafts.forget(request)
            messages.success(
                request, f"The rule is added: {rules.words(rule)}. The next refresh applies it."
            )
            return redirect("coverage_rules")
    page = visitor.page(request, coverage.rules(person), ON_A_PAGE)
    enrolled = coverage.enrolled(list(page))
    context = {
        "page": page,
        "rules": [coverage.rule(row, enrolled) for row in page],
        "form": form,
        "policies": _named(person),
    }
    return render(request, "policies/coverage_rules.html", context)


def _by_field(error: ValidationError) -> dict[str, list[str]]:
    return error.message_dict if hasattr(error, "error_dict") else {"": error.messages}


@login_required
def remove_rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Say what the removal of a rule leaves behind, and remove it on confirmation."""
    person = visitor.person(request)
    rows = EnrolRule.objects.visible_to(person).select_related("account__owner", "policy__owner")
    found = rows.defer("account__secret_access_key").filter(pk=rule_id).first()
    if found is None:
        raise Http404
    if request.method == "POST":
        stay = rules.remove(found, by=person)
        kept = f" {stay} of its targets stay in {found.policy.label}." if stay else ""
        messages.success(request, f"The rule is removed.{kept}")
        return redirect("coverage_rules")
    shown = coverage.rule(found, coverage.enrolled([found]))
    return render(request, "policies/coverage_rule.html", {"rule": shown})


def _named(person: User) -> list[str]:
    rows = permissions.changeable(Policy.objects.select_related("owner"), person)
    rows = rows.order_by("owner__username", "name")
    return [row.label for row in rows.only("name", "owner__username")[:NAMED]]


def _back(request: HttpRequest, name: str) -> str:
    """Return the list that the person came from, with its filters; never another site."""
    target = request.POST.get("back", "")
    here = reverse(name)
    is_own = (
        url_has_allowed_host_and_scheme(target, allowed_hosts=None) and target.split("?")[0] == here
    )
    return target if is_own else here
