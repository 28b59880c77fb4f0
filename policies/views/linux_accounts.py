"""The page of Linux accounts, for superusers: how each is, and what root runs to mend it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from policies.selectors import linux_people
from policies.views import visitor
from policies.views.people import ON_A_PAGE, for_superusers
from scripts_admin.folders.provisioning import machine, state


@for_superusers
@never_cache
def listing(request: HttpRequest) -> HttpResponse:
    on = machine.found()
    page = visitor.page(request, linux_people.listed(), ON_A_PAGE)
    context = {
        "page": page,
        "machine": state.of_machine(on),
        "all": state.command("--all"),
        "rows": [
            *(linux_people.left(on) if page.number == 1 else []),
            *linux_people.rows(on, page),
        ],
    }
    return render(request, "policies/people/linux_accounts.html", context)
