"""The page of schedules. It shows only those that the person may see."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from policies.selectors import schedules
from policies.services.due import outlook
from policies.views import visitor

ON_A_PAGE = 25  # the page computes the next times of each


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the schedules that the person may see, with their next times."""
    person = visitor.person(request)
    page = visitor.part(request, schedules.listed(person), schedules.BY_OWNER, ON_A_PAGE)
    rows = [
        (
            row,
            outlook.in_words(each),
            outlook.of_schedule(each, looked_at=outlook.LOOKED_AT_IN_A_LIST),
        )
        for row, each in zip(schedules.rows(page.rows, person), page.rows, strict=True)
    ]
    return render(request, "policies/schedules.html", {"page": page, "schedules": rows})
