"""The permission to use a folder becomes three rights: nobody gains one, and nobody loses one."""

from importlib import import_module
from itertools import product

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import connection

from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import Folder, FolderGroupPermission, FolderUserPermission, User
from scripts_admin.services import folders
from tests import factories

pytestmark = pytest.mark.django_db
migration = import_module("scripts_admin.migrations.0006_rights_on_folders")
MAY = (permissions.may_see, permissions.may_change, permissions.may_run)


@pytest.fixture
def old() -> Permission:
    """Bring the permissions of folders back to what the release before had."""
    rows = Permission.objects.filter(
        content_type__app_label="scripts_admin", content_type__model="folder"
    )
    rows.filter(codename__in=["see_folder", "edit_folder", "approve_hosts_folder"]).delete()
    rows.filter(codename="run_folder").update(codename="use_folder")
    return rows.get(codename="use_folder")


def users() -> list[User]:
    return list(User.objects.order_by("username"))


def allowed() -> set[tuple[str, str, str]]:
    return {
        (may.__name__, user.username, folder.name)
        for may, user, folder in product(MAY, users(), Folder.objects.all())
        if may(user, folder)
    }


def test_who_could_use_a_folder_may_see_edit_and_run_it_and_nobody_else(old: Permission) -> None:
    alice, charlie = factories.alice(), factories.charlie()
    bob, carol = (factories.UserFactory.create(username=name) for name in ("bob", "carol"))
    hers, roots = folders.of(alice), folders.root()
    group = Group.objects.create(name="night shift")
    carol.groups.add(group)
    FolderUserPermission.objects.create(user=alice, permission=old, content_object=hers)
    FolderUserPermission.objects.create(user=bob, permission=old, content_object=hers)
    FolderUserPermission.objects.create(user=bob, permission=old, content_object=roots)
    FolderGroupPermission.objects.create(group=group, permission=old, content_object=hers)
    charlie.user_permissions.add(old)  # on all rows: it opens pages, and shows none
    before = {
        (may.__name__, user, folder)
        for may in MAY
        for user, folder in [
            ("alice", "alice"),
            ("bob", "alice"),
            ("bob", "root"),
            ("carol", "alice"),
        ]
    }

    migration.split(apps, connection.schema_editor())

    assert allowed() == before
    every = (Right.VIEW, Right.EDIT, Right.RUN)
    assert permissions.shares(hers) == [(bob, every), (group, every)]
    assert charlie.user_permissions.get().codename == "run_folder"

    migration.join(apps, connection.schema_editor())

    assert not FolderUserPermission.objects.exclude(permission__codename="use_folder").exists()
    back = FolderUserPermission.objects.filter(permission__codename="use_folder")
    found = set(back.values_list("user__username", "content_object__name"))
    assert found == {("alice", "alice"), ("bob", "alice"), ("bob", "root")}
    assert FolderGroupPermission.objects.get().group == group


def test_on_the_way_back_nobody_gains_a_right() -> None:
    folder, bob = folders.of(factories.alice()), factories.charlie()
    permissions.grant(bob, folder, [Right.RUN])

    migration.join(apps, connection.schema_editor())

    assert not FolderUserPermission.objects.filter(user=bob).exists()


def test_a_new_database_has_nothing_to_migrate(old: Permission) -> None:
    old.delete()

    migration.split(apps, connection.schema_editor())

    assert not Permission.objects.filter(codename="see_folder").exists()
