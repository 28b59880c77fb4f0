"""What all pages of rows with an owner share. Who is no superuser meets only what is theirs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from policies.domain.errors import RefusedError
from policies.models import Account
from policies.services import operations
from policies.services.operations import Actor, Result
from scripts_admin import permissions
from scripts_admin.models import User

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:  # it takes no types at run time
    _Admin = admin.ModelAdmin


class Owned(_Admin):
    """Rows with an owner: seen, chosen and owned only by whom `visible_to` says."""

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - the mixin serves several models
        """Return what the person may see."""
        rows: Any = super().get_queryset(request)
        return rows.visible_to(person(request))

    def formfield_for_foreignkey(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer only owners and accounts that the person may see; a stranger's is no valid choice."""
        who = person(request)
        if db_field.name == "owner":
            kwargs["queryset"] = permissions.possible_owners(User.objects.all(), who)
            kwargs["initial"] = who.pk
        if db_field.name == "account":
            kwargs["queryset"] = Account.objects.visible_to(who).defer("secret_access_key")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401
        """Keep the owner of what is there: names, folders and keys go by them."""
        fixed = tuple(super().get_readonly_fields(request, obj))
        return (*fixed, "owner") if obj else fixed

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - as Django declares it
        """Show the form; what turned out only while saving is told on the page too, and nothing is saved."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:
            return told(request, " ".join(error.messages), request.get_full_path())

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete; a refusal that came after the question is told on the page too."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except RefusedError as error:
            return told(request, str(error), "..")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List, and delete the chosen; as delete_view."""
        try:
            return super().changelist_view(request, extra_context)
        except RefusedError as error:
            return told(request, str(error), request.get_full_path())


def person(request: HttpRequest) -> User:
    """Return who asks."""
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user


def actor(request: HttpRequest) -> Actor:
    """Return who asks, as operations know them."""
    return operations.person(person(request))


def tell(page: _Admin, request: HttpRequest, results: Iterable[Result]) -> None:
    """Tell what became of an operation: what was done is logged too."""
    for result in results:
        if result.refusal:
            messages.error(request, result.sentence)
        else:
            page.log_change(request, result.row, f"{result.done[0].upper()}{result.done[1:]}.")
            messages.success(request, result.sentence)


def told(request: HttpRequest, sentence: str, target: str) -> HttpResponse:
    """Tell the refusal on the page that the person is led to."""
    messages.error(request, sentence)
    return redirect(target)


def deleted(
    rows: list[Any], noun: str, reasons: list[str]
) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
    """Return what Django's question shows; it deletes nothing while there is a reason against it."""
    return [str(row) for row in rows], {noun: len(rows)}, set(), [r for r in reasons if r]
