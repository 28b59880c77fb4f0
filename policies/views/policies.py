"""The pages of policies. A page that a person may not see is answered as if it did not exist."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from policies.selectors import policies, runs
from policies.services.due import outlook
from policies.views import visitor

ON_A_PAGE = 50
NEWEST_RUNS = 20
# The page shows these among the facts above.
_TOLD_ABOVE = {"enabled", "retries.count", "retries.minutes"}


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    listed = policies.listed(visitor.person(request))
    page = visitor.part(request, listed, policies.BY_OWNER, ON_A_PAGE)
    rows = [
        (policies.row(each), outlook.of_policy(each, looked_at=outlook.LOOKED_AT_IN_A_LIST))
        for each in page.rows
    ]
    return render(request, "policies/policies.html", {"page": page, "policies": rows})


@require_safe
@login_required
def detail(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for a policy that the person may not see and for one that does not exist."""
    person = visitor.person(request)
    rows = policies.whole().visible_to(person)
    found = rows.filter(owner__username=owner, name=name).first()
    if found is None:
        raise Http404
    shown = policies.detail(found)
    ahead = outlook.of_policy(found)
    context = {
        "id": found.pk,
        "detail": shown,
        "policy": shown.policy,
        "schedules": [(row, outlook.in_words(row)) for row in found.schedules.all()],
        "ahead": ahead,
        "settings": [row for row in policies.settings(found) if row.key not in _TOLD_ABOVE],
        "zone": ahead.zones[0] if len(ahead.zones) == 1 else "",
        "runs": runs.recent(user=person, policy=found, limit=NEWEST_RUNS),
        "may_change": person.is_staff and person.has_perm("policies.change_policy"),
    }
    return render(request, "policies/policy.html", context)
