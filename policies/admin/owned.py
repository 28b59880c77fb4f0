"""The common base of all pages of owned rows. Everyone but a superuser sees only their own rows.

What somebody shares with a person is on the pages of the product, where each right allows its own deeds: here
everything that a person sees can be changed and deleted.
"""

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
    """`owned` decides which rows a person sees and can choose."""

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - the mixin serves several models
        rows: Any = super().get_queryset(request)
        return permissions.owned(rows, person(request))

    def formfield_for_foreignkey(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer only the owners and accounts that the person may see; any other choice is invalid."""
        who = person(request)
        if db_field.name == "owner":
            kwargs["queryset"] = permissions.possible_owners(User.objects.all(), who)
            kwargs["initial"] = who.pk
        if db_field.name == "account":
            kwargs["queryset"] = Account.objects.visible_to(who).defer("secret_access_key")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401
        """A stored row keeps its owner: names, folders and keys depend on the owner."""
        fixed = tuple(super().get_readonly_fields(request, obj))
        return (*fixed, "owner") if obj else fixed

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - as Django declares it
        """Show the form. A mistake found only while saving is shown on the page too; nothing is saved."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:
            return told(request, " ".join(error.messages), request.get_full_path())

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete. A refusal that comes after the confirmation is shown on the page too."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except RefusedError as error:
            return told(request, str(error), "..")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List, and delete the selected rows; refusals as in `delete_view`."""
        try:
            return super().changelist_view(request, extra_context)
        except RefusedError as error:
            return told(request, str(error), request.get_full_path())


def person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user


def actor(request: HttpRequest) -> Actor:
    return operations.person(person(request))


def tell(page: _Admin, request: HttpRequest, results: Iterable[Result]) -> None:
    """Show the results of an operation on the page, and log each change that was made."""
    for result in results:
        if result.refusal:
            messages.error(request, result.sentence)
        else:
            page.log_change(request, result.row, f"{result.done[0].upper()}{result.done[1:]}.")
            messages.success(request, result.sentence)


def told(request: HttpRequest, sentence: str, target: str) -> HttpResponse:
    """Redirect to the target, and show the refusal there."""
    messages.error(request, sentence)
    return redirect(target)


def deleted(
    rows: list[Any], noun: str, reasons: list[str]
) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
    """Return what Django's confirmation page shows; while there is a reason, it deletes nothing."""
    return [str(row) for row in rows], {noun: len(rows)}, set(), [r for r in reasons if r]
