"""The pages of policies. A page that a person may not see is answered as if it did not exist."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock
from n2wbackup.lib.charts import Point
from n2wbackup.lib.components import span
from policies.selectors import (
    acting,
    calendars,
    dashboard,
    policies,
    proofs,
    protection,
    runs,
    trials,
    windows,
)
from policies.selectors.windows import Trend
from policies.services.alarms import muting
from policies.services.due import outlook
from policies.views import filters, first_use, reached, visitor

ON_A_PAGE = 50
NEWEST_RUNS = 20
# The page shows these among the facts above.
_TOLD_ABOVE = {"enabled", "rpo_hours", "retries.count", "retries.minutes"}


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the policies, worst first; without a filter in the address, by the one that the person used last."""
    person = visitor.person(request)
    remembered = filters.remembered(request)
    if remembered:
        return redirect(f"{request.path}?{remembered}")
    now, chosen = clock.now(), filters.asked(request)
    counts = protection.counts(person)
    found = filters.matching(dashboard.policies(person), chosen, now)
    page, following = filters.page(found, chosen, ON_A_PAGE)
    context = {
        "policies": [dashboard.line(each, now) for each in page],
        "counts": counts,
        "first_use": () if counts.total else first_use.of_person(person, None),
        "chosen": chosen,
        "states": filters.STATES,
        "following": following,
    }
    answer = render(request, "policies/policies.html", context)
    filters.remember(request, answer, chosen)
    return answer


@require_safe
@login_required
def detail(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for a policy that the person may not see and for one that does not exist."""
    person = visitor.person(request)
    rows = policies.whole().visible_to(person)
    found = rows.filter(owner__username=owner, name=name).first()
    if found is None:
        raise Http404
    actions = acting.of(found, person)
    tried: dict[str, object] = {
        "actions": actions,
        "trials": trials.of_policy(found),
    }
    if visitor.wants_a_part(request):
        return render(request, "policies/policy/trials.html", tried)
    shown, now = policies.detail(found), clock.now()
    ahead = outlook.of_policy(found)
    trend = windows.trend(found)
    last_proof, proven = proofs.of_policy(found)
    context = {
        **tried,
        **reached.of(found, person),
        "id": found.pk,
        "detail": shown,
        "last_proof": last_proof,
        "proven": proven,
        "mute": muting.of(found),
        "policy": shown.policy,
        "line": dashboard.line(found, now),
        "objective": protection.objective(found),
        "requires_application": protection.requires_application(found),
        "targets": list(zip(shown.targets, protection.targets(found, now), strict=True)),
        "lost": dashboard.lost(person, found),
        "days": calendars.drawn(calendars.of_policies([found.pk])[found.pk]),
        "today": now.date(),
        "trend": trend,
        "points": _points(trend),
        "schedules": [(row, outlook.in_words(row)) for row in found.schedules.all()],
        "ahead": ahead,
        "settings": [row for row in policies.settings(found) if not _is_told_above(row.key)],
        "copied_to": "; ".join(map(str, found.copy_rules.select_related("account").order_by("pk"))),
        "kept_words": found.rules.in_words.capitalize(),
        "zone": ahead.zones[0] if len(ahead.zones) == 1 else "",
        "runs": runs.recent(user=person, policy=found, limit=NEWEST_RUNS),
        "first_use": first_use.of_policy(found, person),
        "is_in_admin": actions.is_own
        and person.is_staff
        and person.has_perm("policies.change_policy"),
    }
    return render(request, "policies/policy.html", context)


def _points(trend: Trend) -> list[Point]:
    return [
        Point(
            one.at,
            one.freeze_seconds,
            f"{one.at:%Y-%m-%d %H:%M} UTC: window {span(one.freeze_seconds)}, hold "
            f"{span(one.hold_seconds)}, {one.state}",
        )
        for one in trend.windows
    ]


def _is_told_above(key: str) -> bool:
    """Tell whether the page says it before the settings: with the last runs, or in the words of its retention."""
    return key in _TOLD_ABOVE or (key.startswith("retention.") and key != "retention.timezone")
