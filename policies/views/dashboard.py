"""The dashboard: in three seconds, whether anything is frozen, unprotected or overdue."""

from collections.abc import Sequence
from typing import NamedTuple

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.selectors import calendars, dashboard, health, proofs, protection, trials
from policies.selectors.dashboard import PolicyLine
from policies.selectors.protection import Counts
from policies.views import first_use, frozen, visitor
from policies.views.first_use import Step
from scripts_admin.models import User

CALENDARS = 3
# The first that is there.
COVERAGE_COUNT = ("policies/coverage/count.html", "policies/dashboard/coverage.html")


class Standing(NamedTuple):
    """How it stands. `mark`: of what is said now; `loaded`: of what was said when the page was loaded."""

    colour: str
    verdict: str
    counts: Counts
    mark: str
    loaded: str

    @property
    def is_newer(self) -> bool:
        return self.mark != self.loaded


@require_safe
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """Show everything; to htmx only the part that moves, which asks again by itself."""
    person = visitor.person(request)
    if visitor.wants_a_part(request):
        return _part(request)
    standing = _standing(person)
    counts = standing.counts
    worst = dashboard.worst(person)
    attention = [row for row in worst if row.state != "protected"][:CALENDARS]
    shown = attention or list(worst[:CALENDARS])
    today = clock.now().date()
    found = calendars.of_policies([row.key for row in shown])
    row = health.own_row()
    context: dict[str, object] = {
        **_shown(standing),
        "first_use": _first_use(person, counts, worst),
        "worst": worst,
        "failing": dashboard.failing(person) if counts.failing else (),
        "lost": dashboard.lost(person),
        "unproven": trials.unproven(person),
        "proofs": proofs.of_policies(person),
        "running": dashboard.running(person),
        "coming": dashboard.coming(person),
        "calendars": [(row, calendars.drawn(found[row.key])) for row in shown],
        "all_days": calendars.drawn(calendars.of_visible(person)),
        "needs_attention": bool(attention),
        "today": today,
        "health": health.parts(row, strangers=person.is_superuser),
        "keeps_all": health.why_kept(row),
        "strangers": row.strangers if row and person.is_superuser else {},
    }
    return render(request, "policies/dashboard/index.html", context)


def _first_use(person: User, counts: Counts, worst: Sequence[PolicyLine]) -> Sequence[Step]:
    if not first_use.is_on(counts) or (counts.total and not worst):
        return ()
    return first_use.of_person(person, worst[0].key if worst else None)


def _part(request: HttpRequest) -> HttpResponse:
    """Give the part that polls: what runs, or how it stands; 204 if that is as the page shows it."""
    person = visitor.person(request)
    if visitor.element(request) != "standing":
        running = dashboard.running(person)
        answer = render(request, "policies/dashboard/running.html", {"running": running})
        if any(row.state == State.THAWING for row in running):
            trigger_client_event(answer, frozen.CHANGED)
        return answer
    standing = _standing(person, request.GET.get("loaded", ""))
    if standing.mark == request.GET.get("shown"):
        return HttpResponse(status=204)
    context = {**_shown(standing), "is_part": True}
    return render(request, "policies/dashboard/standing.html", context)


def _standing(person: User, loaded: str | None = None) -> Standing:
    counts = protection.counts(person)
    colour, sentence = dashboard.verdict(counts)
    mark = ".".join(map(str, counts))
    return Standing(colour, sentence, counts, mark, mark if loaded is None else loaded)


def _shown(standing: Standing) -> dict[str, object]:
    return {
        "standing": standing,
        "colour": standing.colour,
        "verdict": standing.verdict,
        "counts": standing.counts,
        "coverage_count": COVERAGE_COUNT,
    }
