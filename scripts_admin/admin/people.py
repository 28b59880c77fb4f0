"""Users and groups in the admin, for superusers only: anyone who may edit users could create more superusers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from scripts_admin import permissions
from scripts_admin.forms.users import NewUserForm, PasswordForm, UserForm
from scripts_admin.models import User
from scripts_admin.services import users
from scripts_admin.views.confirming import confirmed

if TYPE_CHECKING:
    _UserAdmin = UserAdmin[User]
    _UserForm = ModelForm[User]
else:  # they are not generic at run time
    _UserAdmin, _UserForm = UserAdmin, ModelForm

SERVER_ROLE_HINT = (
    "One of the permissions on accounts is “Can use the server's own AWS role”: a user who has it can back up "
    "everything that this role reaches. Leave it out for a user who only needs the other permissions on accounts."
)


class OnlySuperusers:
    """Hides the page from everyone who is not a superuser, whatever permissions they have."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return permissions.may_manage_people(request.user)

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes them by name
        return permissions.may_manage_people(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.may_manage_people(request.user)

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes them by name
        return permissions.may_manage_people(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes them by name
        return permissions.may_manage_people(request.user)


def _sure(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a superuser confirm who they are before the page; everybody else hears of the page's own refusal."""

    def page(request: HttpRequest, *args: Any) -> Any:  # noqa: ANN401 - the page's own
        may = permissions.may_manage_people(request.user)
        return (confirmed(view) if may else view)(request, *args)

    return page


def _warned(field: Any, db_field: Any) -> Any:  # noqa: ANN401 - a form's field and a model's, of any kind
    """Add a warning beside the permissions: one of them has to be given with care."""
    if field is not None and db_field.related_model is Permission:
        field.help_text = f"{SERVER_ROLE_HINT} {field.help_text}"
    return field


@admin.register(User)
class PeopleAdmin(OnlySuperusers, _UserAdmin):
    """Users. Saving goes through the service, which also creates the folder."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = PasswordForm
    list_display = ("username", "email", "is_superuser", "is_staff", "is_active")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        (
            "Rights",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {"fields": ("username", "email", "usable_password", "password1", "password2")},
        ),
    )

    def formfield_for_manytomany(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        return _warned(field, db_field)

    def get_readonly_fields(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: User | None = None,
    ) -> tuple[str, ...]:
        """A user who exists keeps the name: it cannot be edited."""
        return ("last_login", "date_joined", *(("username",) if obj else ()))

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: User,
        form: _UserForm,  # noqa: ARG002
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        users.save(obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: ANN401, FBT001 - Django's signature
        """Save groups and permissions, and enter what changed in the audit."""
        with users.rights_changed(form.instance):
            super().save_related(request, form, formsets, change)

    def delete_model(self, request: HttpRequest, obj: User) -> None:  # noqa: ARG002 - Django's signature
        users.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[User]) -> None:  # noqa: ARG002
        """Delete the users one by one, by the same rule; if one fails, the admin's transaction deletes none."""
        for user in queryset:
            users.delete(user)

    def get_deleted_objects(
        self,
        objs: Any,  # noqa: ANN401 - a queryset or a list of users
        request: HttpRequest,  # noqa: ARG002 - Django's signature
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Return the users, and one sentence for each who cannot be deleted; if there is one, Django deletes none."""
        people = list(objs)
        kept = [reason for user in people if (reason := users.why_not_deleted(user))]
        return people, {"users": len(people)}, set(), kept

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - as Django declares it
        """Show the form, to who has confirmed who they are.

        If the folder cannot be created, the page shows the error and nothing is saved.
        """
        try:
            return _sure(super().changeform_view)(request, object_id, form_url, extra_context)
        except ValidationError as error:
            return _told(request, " ".join(error.messages))

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's signature
        form_url: str = "",
    ) -> Any:  # noqa: ANN401 - as Django declares it
        return _sure(super().user_change_password)(request, id, form_url)


def _told(request: HttpRequest, sentence: str) -> HttpResponse:
    messages.error(request, sentence)
    return redirect(request.get_full_path())


admin.site.unregister(Group)


@admin.register(Group)
class GroupsAdmin(OnlySuperusers, GroupAdmin):
    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:  # noqa: ANN401, ARG002, FBT001 - Django's signature
        users.save_group(obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: ANN401, FBT001 - Django's signature
        """Save the group's permissions, and enter what changed in the audit."""
        with users.rights_changed(form.instance):
            super().save_related(request, form, formsets, change)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:  # noqa: ARG002 - Django's signature
        users.delete_group(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Group]) -> None:  # noqa: ARG002
        for each in queryset:
            users.delete_group(each)

    def formfield_for_manytomany(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        return _warned(field, db_field)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - as Django declares it
        """Show the form, to who has confirmed who they are: a group gives rights."""
        return _sure(super().changeform_view)(request, object_id, form_url, extra_context)
