"""Folders in the admin: those of users read-only, those of deleted users until a superuser forgets them."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from scripts_admin import permissions
from scripts_admin.models import Folder, FolderQuerySet, FormerFolder, User
from scripts_admin.services import folders

if TYPE_CHECKING:
    _FolderAdmin = admin.ModelAdmin[Folder]
    _FormerAdmin = admin.ModelAdmin[FormerFolder]
else:  # they are not generic at run time
    _FolderAdmin = _FormerAdmin = admin.ModelAdmin


@admin.register(Folder)
class FolderAdmin(_FolderAdmin):
    """Folders, read-only: they come and go with their owners."""

    list_display = ("name", "owner")
    list_select_related = ("owner",)
    fields = ("name", "owner")

    def get_queryset(self, request: HttpRequest) -> FolderQuerySet:
        assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
        return permissions.owned(Folder.objects.all(), request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: Folder | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Folder | None = None) -> bool:  # noqa: ARG002
        return False


@admin.register(FormerFolder)
class FormerFolderAdmin(_FormerAdmin):
    """What deleted users left, for superusers. Deleting a line forgets it; the files stay where they are."""

    list_display = ("name", "deleted_at", "place", "linux_uid")
    fields = ("name", "deleted_at", "is_set_aside", "place", "linux_uid")
    ordering = ("-deleted_at",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return permissions.may_manage_people(request.user)

    def has_view_permission(self, request: HttpRequest, obj: FormerFolder | None = None) -> bool:  # noqa: ARG002
        return permissions.may_manage_people(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: FormerFolder | None = None) -> bool:
        """Only once its files are set aside: until then the line keeps them from a new user of the name."""
        return permissions.may_manage_people(request.user) and (obj is None or obj.is_set_aside)

    def delete_model(self, request: HttpRequest, obj: FormerFolder) -> None:  # noqa: ARG002 - Django's signature
        folders.forget(obj)

    def delete_queryset(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        queryset: models.QuerySet[FormerFolder],
    ) -> None:
        for each in queryset:
            folders.forget(each)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: FormerFolder | None = None) -> bool:  # noqa: ARG002
        return False
