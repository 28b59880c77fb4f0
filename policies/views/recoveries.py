"""Recoveries: their list, each one's page, and the form that begins one. A stranger gets 404, as on every page."""

from collections.abc import Sequence
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from policies.domain.errors import BackupError
from policies.domain.recovery import states, steps
from policies.domain.recovery.states import State
from policies.domain.recovery.steps import Deed, Step
from policies.forms.restoring import RestoreForm
from policies.models import Recovery, RecoveryStep, Run
from policies.selectors import recoveries, sources
from policies.services.recovery import asking, planning, rehearsing
from policies.services.recovery.planning import Choices
from policies.views import drafts, visitor
from scripts_admin import permissions
from scripts_admin.models import User
from scripts_admin.views.confirming import confirmed

ON_A_PAGE = 50
MOVES = "moves"  # the part of the page that asks again while a recovery goes on


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the recoveries that the person may see, newest first."""
    person = visitor.person(request)
    rows = Recovery.objects.visible_to(person).prefetch_related("resources")
    page = visitor.part(request, rows, ["-asked_at"], ON_A_PAGE)
    return render(request, "policies/recoveries/list.html", {"page": page})


@require_safe
@login_required
def detail(request: HttpRequest, recovery_id: UUID) -> HttpResponse:
    """Show one recovery, or the part of its page that moves."""
    person = visitor.person(request)
    row = _seen(person, recovery_id)
    may = permissions.may_restore(person, row)
    rows = list(row.steps.all())
    context = {
        "recovery": row,
        "source": sources.in_words(row.source),
        "steps": [
            (step, _sentence(step.deed, step.params, _made(step.params, rows))) for step in rows
        ],
        "goes_on": row.ended_at is None,
        "may_cancel": may
        and not row.ending
        and not row.cancelled_by
        and row.state in {State.QUEUED, State.WORKING},
        "may_undo": may and row.state in states.UNDOABLE and any(step.begun_at for step in rows),
    }
    is_part = visitor.wants_a_part(request) and visitor.element(request) == MOVES
    return render(request, f"policies/recoveries/{'moves' if is_part else 'detail'}.html", context)


def _made(params: dict[str, object], rows: Sequence[RecoveryStep]) -> str:
    of = params.get("of")
    return rows[of].resource if isinstance(of, int) and of < len(rows) else ""


def _sentence(deed: str, params: dict[str, object], made: str) -> str:
    return steps.sentence(Step(Deed(deed), params), made)


@require_http_methods(["GET", "HEAD", "POST"])
@drafts.required
def restore(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """404 for who may not restore; the others show once more who they are."""
    person = visitor.person(request)
    run = (
        Run.objects.visible_to(person).select_related("policy", "account").filter(pk=run_id).first()
    )
    if run is None or not permissions.may_restore(person, run):
        raise Http404
    return _restore(request, run)


@confirmed
def _restore(request: HttpRequest, run: Run) -> HttpResponse:
    """Ask what comes back, show what would be made and what AWS says, and begin it once that was confirmed."""
    person = visitor.person(request)
    owns = person.is_superuser or person.pk == run.owner_id
    is_sent = request.method == "POST"
    first = {key: request.GET[key] for key in ("volume_id", "kind", "source") if key in request.GET}
    form = RestoreForm(run, drafts.sent(request), initial=first, owns=owns)
    context: dict[str, object] = {"run": run, "form": form, "has_points": form.has_points}
    if is_sent and form.is_valid():
        try:
            if request.POST.get("do") == "restore":
                return _begun(request, run, form.choices, person)
            _show(context, run, form.choices, person)
        except BackupError as error:
            form.add_error(None, str(error))
            if request.POST.get("do") == "restore":
                _show_again(context, run, form.choices, person)
    return render(request, "policies/recoveries/restore.html", context)


def _begun(request: HttpRequest, run: Run, choices: Choices, person: User) -> HttpResponse:
    recovery = asking.ask(
        run,
        choices,
        by=person.username,
        person=person,
        confirmation=request.POST.get("confirmation", "").strip(),
    )
    drafts.forget(request)
    messages.success(request, "The recovery is queued: a worker begins in a moment.")
    return redirect("recovery", recovery.pk)


def _show(context: dict[str, object], run: Run, choices: Choices, person: User) -> None:
    plan = planning.plan(run, choices, by=person)
    answers = rehearsing.rehearse(plan)
    refused = any(each.is_refused for each in answers)
    context.update(plan=plan, answers=answers, refused=refused)


def _show_again(context: dict[str, object], run: Run, choices: Choices, person: User) -> None:
    try:
        _show(context, run, choices, person)
    except BackupError:
        return  # the form says it already


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def cancel(request: HttpRequest, recovery_id: UUID) -> HttpResponse:
    """Take back what was done so far."""
    row = _restorable(visitor.person(request), recovery_id)
    if request.method == "POST":
        person = visitor.person(request)
        try:
            done = asking.cancel(row, by=person.username, person=person)
        except BackupError as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, f"The recovery is {done}.")
    return redirect("recovery", row.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def undo(request: HttpRequest, recovery_id: UUID) -> HttpResponse:
    """Say what is lost, and undo once the id was typed; who may not gets 404 before being asked anything."""
    return _undo(request, _restorable(visitor.person(request), recovery_id))


@confirmed
def _undo(request: HttpRequest, row: Recovery) -> HttpResponse:
    mistake = ""
    if request.method == "POST":
        person = visitor.person(request)
        given = request.POST.get("confirmation", "").strip()
        try:
            done = asking.undo(row, by=person.username, confirmation=given, person=person)
        except BackupError as error:
            mistake = str(error)
        else:
            messages.success(request, f"The recovery is {done}.")
            return redirect("recovery", row.pk)
    context = {"recovery": row, "mistake": mistake, "above": reverse("recovery", args=[row.pk])}
    return render(request, "policies/recoveries/undo.html", context)


def _seen(person: User, recovery_id: UUID) -> Recovery:
    rows = recoveries.whole().filter(pk=recovery_id)
    row = rows.filter(pk__in=Recovery.objects.visible_to(person).filter(pk=recovery_id)).first()
    if row is None:
        raise Http404
    return row


def _restorable(person: User, recovery_id: UUID) -> Recovery:
    row = _seen(person, recovery_id)
    if not permissions.may_restore(person, row):
        raise Http404
    return row
