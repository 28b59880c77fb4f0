"""Folders in the admin, read-only."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from scripts_admin.models import Folder, FolderQuerySet, User

if TYPE_CHECKING:
    _FolderAdmin = admin.ModelAdmin[Folder]
else:  # it is not generic at run time
    _FolderAdmin = admin.ModelAdmin


@admin.register(Folder)
class FolderAdmin(_FolderAdmin):
    """Folders, read-only: they come and go with their owners."""

    list_display = ("name", "owner")
    fields = ("name", "owner")

    def get_queryset(self, request: HttpRequest) -> FolderQuerySet:
        assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
        return Folder.objects.visible_to(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: Folder | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Folder | None = None) -> bool:  # noqa: ARG002
        return False
