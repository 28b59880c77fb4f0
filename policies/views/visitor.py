"""The visitor of a page, and the part of a long list that they ask for."""

from collections.abc import Sequence
from typing import Any, TypeVar

from django.core.paginator import Page, Paginator
from django.db import models
from django.http import HttpRequest

from n2wbackup.lib import keyset
from scripts_admin import permissions
from scripts_admin.models import User

Row = TypeVar("Row", bound=models.Model)


def person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - login_required lets nobody else in
    return request.user


def wants_a_part(request: HttpRequest) -> bool:
    """Tell whether a script of the page asks for a part of it. Not for a page out of the browser's history."""
    asked: Any = getattr(request, "htmx", False)
    return bool(asked) and not asked.history_restore_request


def element(request: HttpRequest) -> str:
    """Return the id of the element that asks for a part."""
    asked: Any = getattr(request, "htmx", None)
    return (asked and asked.trigger) or ""


def page_of_part(request: HttpRequest) -> str:
    """Return the address of the page that asks for a part, on this server."""
    asked: Any = getattr(request, "htmx", None)
    return (asked and asked.current_url_abs_path) or "/"


def page(request: HttpRequest, rows: models.QuerySet[Row], size: int) -> Page[Row]:
    """Return the page that `?page=` names; if there is no such page, the first or the last."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def part(
    request: HttpRequest, rows: models.QuerySet[Row], order: Sequence[str], size: int
) -> keyset.Page[Row]:
    """Return the part of a long list that `?after=` or `?before=` names, for components/steps.html."""
    after, before = request.GET.get("after", ""), request.GET.get("before", "")
    parts = permissions.parts(rows.model, person(request))
    return keyset.page(rows, order, size, after=after, before=before, parts=parts)
