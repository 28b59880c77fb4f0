"""The dashboard: in three seconds, whether anything is frozen, unprotected or overdue."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock
from policies.selectors import calendars, dashboard, health, protection
from policies.views import visitor

CALENDARS = 3
# The first that is there.
COVERAGE_COUNT = ("policies/coverage/count.html", "policies/dashboard/coverage.html")


@require_safe
@gzip_page  # hundreds of days weigh little when they are packed
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """Show everything; to htmx only the part that moves, which asks again by itself."""
    person = visitor.person(request)
    if getattr(request, "htmx", False):
        moving = {"running": dashboard.running(person)}
        return render(request, "policies/dashboard/running.html", moving)
    counts = protection.counts(person)
    worst = dashboard.worst(person)
    attention = [row for row in worst if row.state != "protected"][:CALENDARS]
    shown = attention or list(worst[:CALENDARS])
    today = clock.now().date()
    found = calendars.of_policies([row.key for row in shown])
    colour, sentence = dashboard.verdict(counts)
    context: dict[str, object] = {
        "colour": colour,
        "verdict": sentence,
        "counts": counts,
        "frozen": dashboard.frozen(person) if counts.frozen else (),
        "worst": worst,
        "failing": dashboard.failing(person) if counts.failing else (),
        "lost": dashboard.lost(person),
        "running": dashboard.running(person),
        "coming": dashboard.coming(person),
        "calendars": [(row, calendars.drawn(found[row.key])) for row in shown],
        "all_days": calendars.drawn(calendars.of_visible(person)),
        "needs_attention": bool(attention),
        "today": today,
        "health": health.parts(),
        "coverage_count": COVERAGE_COUNT,
    }
    return render(request, "policies/dashboard/index.html", context)
