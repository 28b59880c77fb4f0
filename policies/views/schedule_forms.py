"""The pages on which a schedule is made, looked at, changed and deleted."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.forms.acting import NameForm
from policies.forms.entries import ScheduleEntry
from policies.models import Schedule
from policies.selectors import schedules as rows
from policies.services.due import outlook, week
from policies.services.entry import schedules
from policies.views import drafts, drawing, visitor
from scripts_admin import permissions


@drafts.required
def new(request: HttpRequest) -> HttpResponse:
    sent = request.POST if request.method == "POST" else drafts.typed(request)
    row = Schedule(cron="" if sent else "0 2 * * *")
    return _page(request, ScheduleEntry(visitor.person(request), sent, instance=row))


@drafts.required
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for a schedule that the person may not change and for one that does not exist."""
    row = changeable(request, owner, name)
    sent = request.POST if request.method == "POST" else drafts.typed(request)
    return _page(request, ScheduleEntry(visitor.person(request), sent, instance=row))


@require_safe
@login_required
def detail(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show when the schedule is due, drawn and as a table."""
    row = changeable(request, owner, name)
    person = visitor.person(request)
    (shown,) = rows.rows([rows.listed(person).get(pk=row.pk)], person)
    context = {"row": shown, "when": outlook.in_words(row), **_ahead(row)}
    return render(request, "policies/schedule/page.html", context)


@login_required
def delete(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Delete once the name was typed; policies that follow the schedule prevent it."""
    row = changeable(request, owner, name)
    is_sent = request.method == "POST"
    form = NameForm(row.name, request.POST if is_sent else None)
    if is_sent and form.is_valid():
        try:
            schedules.delete(row)
        except RefusedError as error:
            messages.error(request, str(error))
            return redirect("schedule", owner, name)
        messages.success(request, f"The schedule {owner}/{name} is deleted.")
        return redirect("schedules")
    context = {"row": row, "form": form, "refusal": schedules.why_not_deleted(row)}
    return render(request, "policies/schedule/delete.html", context)


def changeable(request: HttpRequest, owner: str, name: str) -> Schedule:
    """Return the schedule if the person may change it; 404 if not."""
    person = visitor.person(request)
    found = Schedule.objects.visible_to(person).select_related("owner")
    row = found.filter(owner__username=owner, name=name).first()
    if row is None or not permissions.may_change(person, row):
        raise Http404
    return row


def _page(request: HttpRequest, form: ScheduleEntry) -> HttpResponse:
    wanted = request.POST.get("do", "save") if request.method == "POST" else "look"
    row = form.instance
    old = Schedule.objects.filter(pk=row.pk).values_list("name", flat=True).first()
    if wanted == "save" and form.is_valid() and _saved(form, row):
        drafts.forget(request)
        messages.success(request, f"The schedule {row.owner}/{row.name} is saved.")
        return redirect("schedule", row.owner.username, row.name)
    context = {
        "form": form,
        "row": row,
        "old": old,
        "signature": drafts.signature(visitor.person(request), request.path),
        **(_ahead(row) if _is_clear(form) else {}),
    }
    template = "checks" if wanted == "check" else "form"
    return render(request, f"policies/schedule/{template}.html", context)


def _saved(form: ScheduleEntry, row: Schedule) -> bool:
    """Save; what changed since the rules were asked is a mistake of the form."""
    try:
        schedules.save(row)
    except ValidationError as error:
        form.add_error(None, ValidationError(error.messages))
        return False
    return True


def _is_clear(form: ScheduleEntry) -> bool:
    """Tell whether the form says when; a missing name does not matter for that."""
    if form.is_bound:
        return form.is_valid() or not set(form.errors) - {"name", "owner"}
    return True


def _ahead(row: Schedule) -> dict[str, object]:
    days = week.of_schedule(row, clock.now())
    return {"ahead": outlook.of_schedule(row), "days": days, **drawing.week(days)}
