"""The pages of costs: all policies that a person may see, and one policy with "what if". All are estimates."""

from collections.abc import Mapping
from datetime import date

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock
from policies.domain.costs import bill
from policies.domain.errors import InputError
from policies.forms.costs import WhatIfForm
from policies.models import Policy
from policies.services.costs import billing
from policies.views import visitor
from policies.views.entering import allowed
from scripts_admin import permissions

ON_A_PAGE = 100


@require_safe
@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """Show the newest estimate of each policy, the dearest first, and the sum of all."""
    person = visitor.person(request)
    visible = Policy.objects.visible_to(person)
    rows = billing.by_cost(visible).select_related("owner")
    page = visitor.page(request, rows.only("name", "enabled", "owner__username"), ON_A_PAGE)
    known = billing.newest([policy.pk for policy in page])
    context = {
        "page": page,
        "lines": [(policy, known.get(policy.pk)) for policy in page],
        "together": billing.together(visible),
        **_table(),
    }
    return render(request, "policies/costs/overview.html", context)


@require_safe
@login_required
def policy(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show what the policy's restore points cost, how that went, and what other rules would cost."""
    found = allowed(request, owner, name, permissions.may_see)
    form = WhatIfForm(found, request.GET or None)
    table = _table()
    trend = billing.trend(found)
    context = {
        "policy": found,
        "form": form,
        "costs": billing.of_policy(found) if table["prices"] else None,
        "trend": list(trend.items())[-30:][::-1],
        "change": _in_words(trend),
        "what_if": billing.what_if(found, form.cleaned_data)
        if table["prices"] and form.is_bound and form.is_valid()
        else None,
        **table,
    }
    return render(request, "policies/costs/policy.html", context)


def _in_words(trend: Mapping[date, float]) -> str:
    """Return how the estimate has changed since its first day; "" if nobody can say."""
    change = bill.trend(trend)
    if change is None:
        return ""
    percent = round(abs(change) * 100)
    how = f"{percent} % {'more' if change > 0 else 'less'} than" if percent else "The same as"
    return f"{how} on {next(iter(trend))}."


def _table() -> dict[str, object]:
    """Return the prices and how old they are, or why there are none."""
    try:
        prices = billing.prices()
    except InputError as error:
        return {"prices": None, "price_problem": str(error)}
    age = prices.age_days(clock.now().date())
    return {"prices": prices, "price_age": age, "price_problem": ""}
