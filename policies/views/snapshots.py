"""The list of snapshots. It shows only those of runs that the person may see."""

from collections.abc import Callable, Sequence

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from policies.forms.snapshots import SnapshotFilter
from policies.models import RunSnapshot
from policies.selectors import copies, removals, snapshots
from policies.services.retention import planning
from policies.views import visitor
from scripts_admin import permissions

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
    readable = _those(page.rows, lambda each: permissions.may_restore(person, each))
    copied = copies.of_snapshots(page.rows)
    provable = _those(
        [each for each in page.rows if each.pk in copied],
        lambda each: permissions.may_run(person, each.target.run),
    )
    context = {
        "filter": asked,
        "page": page,
        "snapshots": [
            (
                snapshots.row(each),
                kept.get(each.target.run_id),
                gone.get(each.target.run_id),
                each.pk in readable,
                each.pk in provable,
                copied.get(each.pk, ()),
            )
            for each in page.rows
        ],
    }
    return render(request, "policies/snapshots.html", context)


def _those(rows: Sequence[RunSnapshot], may: Callable[[RunSnapshot], bool]) -> set[int]:
    """Return those with which the person may do something; it is asked once for each policy."""
    known: dict[tuple[int | None, int | None], bool] = {}
    for each in rows:
        run = each.target.run
        key = (run.policy_id, run.owner_id)
        if key not in known:
            known[key] = may(each)
    return {
        each.pk for each in rows if known[(each.target.run.policy_id, each.target.run.owner_id)]
    }
