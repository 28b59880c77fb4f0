"""The page of an account that says whether SSM reaches its instances. It shows the last look; a worker looks."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from policies.selectors import agents as rows
from policies.services.coverage import agents
from policies.services.entry import iam
from policies.views import accounts, visitor

ON_A_PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def page(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show the last look; a POST asks for another, which a worker makes."""
    account = accounts.changeable(request, owner, name)
    if request.method == "POST":
        agents.look(account)
        messages.success(request, "A worker looks now; this page shows what it finds.")
        return redirect("account-ssm", account.owner.username, account.name)
    places = rows.places(account)
    shown = visitor.page(request, rows.instances(account), ON_A_PAGE)
    context = {
        "row": account,
        "places": places,
        "goes_on": any(place.is_asked for place in places),
        "page": shown,
        "paper": iam.for_ssm(account),
        "instances": [rows.row(each) for each in shown],
    }
    part = visitor.wants_a_part(request)
    template = "policies/account/ssm_looked.html" if part else "policies/account/ssm.html"
    return render(request, template, context)
