"""The pages on which a schedule is made, looked at, changed and deleted."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock
from policies.forms.entries import ScheduleEntry
from policies.models import Schedule
from policies.selectors import schedules as rows
from policies.services.due import outlook, week
from policies.services.entry import schedules
from policies.views import drafts, drawing, owned, visitor


@drafts.required
def new(request: HttpRequest) -> HttpResponse:
    sent = drafts.sent(request)
    row = Schedule(cron="" if sent else "0 2 * * *")
    return _page(request, ScheduleEntry(visitor.person(request), sent, instance=row))


@drafts.required
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for a schedule that the person may not change and for one that does not exist."""
    row = changeable(request, owner, name)
    sent = drafts.sent(request)
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
    """Delete once the name was typed; policies that use the schedule prevent it."""
    row = changeable(request, owner, name)
    return owned.deleted(request, row, schedules.delete, schedules.why_not_deleted)


def changeable(request: HttpRequest, owner: str, name: str) -> Schedule:
    """Return the schedule if the person may change it; 404 if not."""
    return owned.changeable(Schedule.objects.all(), request, owner, name)


def _page(request: HttpRequest, form: ScheduleEntry) -> HttpResponse:
    wanted = request.POST.get("do", "save") if request.method == "POST" else "look"
    row = form.instance
    old = Schedule.objects.filter(pk=row.pk).values_list("name", flat=True).first()
    if wanted == "save" and form.is_valid() and owned.saved(form, row, schedules.save):
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


def _is_clear(form: ScheduleEntry) -> bool:
    """Tell whether the form says when; a missing name does not matter for that."""
    if form.is_bound:
        return form.is_valid() or not set(form.errors) - {"name", "owner"}
    return True


def _ahead(row: Schedule) -> dict[str, object]:
    days = week.of_schedule(row, clock.now())
    return {"ahead": outlook.of_schedule(row), "days": days, **drawing.week(days)}
