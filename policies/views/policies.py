"""Pages of policies. What is not yours does not exist."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from policies.selectors import policies, runs
from policies.services.due import outlook
from policies.views import visitor

ON_A_PAGE = 50
NEWEST_RUNS = 20


@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the policies that the person may see, and when each runs next."""
    page = visitor.page(request, policies.listed(visitor.person(request)), ON_A_PAGE)
    ahead = [outlook.of_policy(p, looked_at=outlook.LOOKED_AT_IN_A_LIST) for p in page]
    context = {"page": page, "policies": list(zip(page, ahead, strict=True))}
    return render(request, "policies/policies.html", context)


@login_required
def detail(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show one policy; 404 for what is not theirs, as for what is not there."""
    person = visitor.person(request)
    rows = policies.whole().visible_to(person)
    found = rows.filter(owner__username=owner, name=name).first()
    if found is None:
        raise Http404
    ahead = outlook.of_policy(found)
    context = {
        "policy": found,
        "schedules": [(row, outlook.in_words(row)) for row in found.schedules.all()],
        "ahead": ahead,
        "runs": runs.recent(user=person, policy=found, limit=NEWEST_RUNS),
        "may_change": person.is_staff and person.has_perm("policies.change_policy"),
    }
    return render(request, "policies/policy.html", context)
