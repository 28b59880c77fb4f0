"""What the pages of accounts and of schedules have in common: rows that a person owns, saves and deletes by name."""

from collections.abc import Callable
from typing import TypeVar

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from policies.domain.errors import RefusedError
from policies.forms.acting import NameForm
from policies.models import Account, Schedule
from policies.models.querysets import OwnedQuerySet
from policies.views import visitor
from scripts_admin import permissions

Row = TypeVar("Row", Account, Schedule)


def changeable(rows: OwnedQuerySet[Row], request: HttpRequest, owner: str, name: str) -> Row:
    """Return the row if the person may change it; 404 if not."""
    person = visitor.person(request)
    found = rows.visible_to(person).select_related("owner")
    row = found.filter(owner__username=owner, name=name).first()
    if row is None or not permissions.may_change(person, row):
        raise Http404
    return row


def saved(form: forms.BaseForm, row: Row, save: Callable[[Row], object]) -> bool:
    """Save; what changed since the rules were asked is a mistake of the form."""
    try:
        save(row)
    except ValidationError as error:
        form.add_error(None, ValidationError(error.messages))
        return False
    return True


def deleted(
    request: HttpRequest, row: Row, remove: Callable[[Row], None], why_not: Callable[[Row], str]
) -> HttpResponse:
    """Delete the row once its name was typed; policies that use it prevent that. Its pages are named as its model."""
    kind, owner, name = row._meta.model_name or "", row.owner.username, row.name
    is_sent = request.method == "POST"
    form = NameForm(name, request.POST if is_sent else None)
    if is_sent and form.is_valid():
        try:
            remove(row)
        except RefusedError as error:
            messages.error(request, str(error))
            return redirect(kind, owner, name)
        messages.success(request, f"The {kind} {owner}/{name} is deleted.")
        return redirect(f"{kind}s")
    context = {"row": row, "form": form, "refusal": why_not(row)}
    return render(request, f"policies/{kind}/delete.html", context)
