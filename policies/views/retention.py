"""What becomes of restore points: the plan of a policy, and the holds of a run.

A page that a person may not see is answered as if it did not exist.
"""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from policies.forms.holding import HoldForm
from policies.models import Run
from policies.selectors import health, removals, runs, snapshots
from policies.services import operations
from policies.services.operations import Result
from policies.services.retention import holds, planning, taking_back
from policies.views import drafts, visitor
from policies.views.entering import allowed
from scripts_admin import permissions

ON_A_PAGE = 100


@require_safe
@login_required
def plan(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show what the policy's rules keep and let go, newest first."""
    policy = allowed(request, owner, name, permissions.may_see)
    verdicts = planning.of_policy(policy)
    gone = [verdict for verdict in verdicts if not verdict.keep]
    is_narrowed = request.GET.get("only") == "goes"
    pages = Paginator(gone if is_narrowed else verdicts, ON_A_PAGE)
    page = pages.get_page(request.GET.get("page"))
    announced = removals.of_runs(UUID(verdict.point.key) for verdict in page)
    row = health.own_row()
    context = {
        "policy": policy,
        "words": policy.rules.in_words,
        "kept": len(verdicts) - len(gone),
        "gone": len(gone),
        "page": page,
        "page_rows": [(each, announced.get(UUID(each.point.key))) for each in page],
        "hours": settings.N2W_DELETE_AFTER_HOURS,
        "keeps_all": settings.N2W_KEEP_ALL_SNAPSHOTS,
        "doubt": health.why_kept(row),
        "doubts_there": health.why_kept_in(row, policy.account_id),
        "cost": 0 if policy.enabled else snapshots.gib_of(policy),
        "is_narrowed": is_narrowed,
        "may_change": permissions.may_change(visitor.person(request), policy),
    }
    return render(request, "policies/retention/plan.html", context)


@drafts.required
def hold(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Ask for a reason and an end, and hold the run's restore point."""
    run, person = _changeable(request, run_id), visitor.person(request)
    sent, present = drafts.sent(request), holds.freezer_of(run)
    first = {"reason": present.reason, "until": present.until} if present else {}
    form = HoldForm(sent, initial=first)
    if request.method == "POST" and form.is_valid():
        by, asked = operations.person(person), form.cleaned_data
        held = operations.hold([run], reason=asked["reason"], until=asked["until"], by=by)
        return _told(request, run, held)
    context = {
        "run": runs.row(run),
        "form": form,
        "present": present,
        "signature": drafts.signature(person, request.path),
    }
    return render(request, "policies/retention/hold.html", context)


@login_required
def release(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Say what follows, and release the hold when the form is sent."""
    run = _changeable(request, run_id)
    if request.method == "POST":
        by = operations.person(visitor.person(request))
        return _told(request, run, operations.release([run], by=by))
    context = {"run": runs.row(run), "present": holds.freezer_of(run)}
    return render(request, "policies/retention/release.html", context)


@login_required
def take_back(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Say what follows, and take the restore point out of the Recycle Bin when the form is sent."""
    run = _changeable(request, run_id)
    if request.method == "POST":
        by = operations.person(visitor.person(request))
        return _told(request, run, operations.take_back([run], by=by))
    context = {"run": runs.row(run), "until": taking_back.until(run)}
    return render(request, "policies/retention/take_back.html", context)


def _told(request: HttpRequest, run: Run, results: list[Result]) -> HttpResponse:
    (result,) = results
    level = messages.ERROR if result.refusal else messages.SUCCESS
    messages.add_message(request, level, result.sentence)
    return redirect("run", run.pk)


def _changeable(request: HttpRequest, run_id: UUID) -> Run:
    person = visitor.person(request)
    run = Run.objects.visible_to(person).filter(pk=run_id).first()
    if run is None or not permissions.may_change(person, run):
        raise Http404
    return run
