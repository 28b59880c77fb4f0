"""The list of snapshots. It shows only those of runs that the person may see."""

from collections.abc import Sequence

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from policies.forms.snapshots import SnapshotFilter
from policies.models import RunSnapshot
from policies.selectors import removals, snapshots
from policies.services.retention import planning
from policies.views import visitor
from scripts_admin import permissions
from scripts_admin.models import User

ON_A_PAGE = 50


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the snapshots that the address asks for, those of the newest run first."""
    person = visitor.person(request)
    asked = SnapshotFilter(request.GET, snapshots.listed(person), request=request)
    order = snapshots.order(person, is_narrowed=asked.is_narrowed)
    page = visitor.part(request, asked.found(), order, ON_A_PAGE)
    runs = {each.target.run_id: each.target.run for each in page.rows}
    kept = planning.of_runs(runs.values(), planning.MANY_ON_A_LIST)
    gone = removals.of_runs(key for key in runs if key not in kept or not kept[key].keep)
    readable = _readable(person, page.rows)
    context = {
        "filter": asked,
        "page": page,
        "snapshots": [
            (
                snapshots.row(each),
                kept.get(each.target.run_id),
                gone.get(each.target.run_id),
                each.pk in readable,
            )
            for each in page.rows
        ],
    }
    return render(request, "policies/snapshots.html", context)


def _readable(person: User, rows: Sequence[RunSnapshot]) -> set[int]:
    """Return those whose files the person may see; whoever owns them is not asked about, others once a policy."""
    may: dict[tuple[int | None, int | None], bool] = {}
    for each in rows:
        run = each.target.run
        key = (run.policy_id, run.owner_id)
        if key not in may:
            may[key] = permissions.may_restore(person, each)
    return {each.pk for each in rows if may[(each.target.run.policy_id, each.target.run.owner_id)]}
