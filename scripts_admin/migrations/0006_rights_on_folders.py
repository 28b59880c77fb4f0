"""`use_folder` let people see, edit and run a folder's scripts at once: it becomes one permission for each."""

from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

WORDS = {
    "see_folder": "May see the scripts of this folder",
    "edit_folder": "May edit the scripts of this folder",
    "run_folder": "May run the scripts of this folder",
}
OLD = ("use_folder", "May run the scripts of this folder")
TABLES = (("FolderUserPermission", "user_id"), ("FolderGroupPermission", "group_id"))


def split(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give whoever could use a folder the three rights; owners need none, as the folder is theirs."""
    using = schema_editor.connection.alias
    old = _permissions(apps, using).filter(codename=OLD[0]).first()
    if old is None:  # a new database: Django enters the permissions after the migrations
        return
    folder_user = apps.get_model("scripts_admin", "FolderUserPermission").objects.using(using)
    folder_user.filter(user_id=models.F("content_object__owner_id"), permission=old).delete()
    # The row itself stays: whoever has the permission on all rows keeps it.
    old.codename, old.name = "run_folder", WORDS["run_folder"]
    old.save(using=using)
    for name, whom in TABLES:
        table = apps.get_model("scripts_admin", name)
        for given in list(table.objects.using(using).filter(permission=old)):
            for codename in ("see_folder", "edit_folder"):
                table.objects.using(using).get_or_create(
                    permission=_permission(apps, using, codename, old.content_type_id),
                    content_object_id=given.content_object_id,
                    **{whom: getattr(given, whom)},
                )


def join(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Leave the old permission to whoever has all three rights, and to owners; nobody gains one."""
    using = schema_editor.connection.alias
    run = _permissions(apps, using).filter(codename="run_folder").first()
    if run is None:
        return
    for name, whom in TABLES:
        table = apps.get_model("scripts_admin", name).objects.using(using)
        for given in list(table.filter(permission=run)):
            same = {"content_object_id": given.content_object_id, whom: getattr(given, whom)}
            if not table.filter(permission__codename="edit_folder", **same).exists():
                given.delete()
        # The permissions themselves may stay: the release before does not know them.
        table.exclude(permission=run).delete()
    run.codename, run.name = OLD
    run.save(using=using)
    folders = apps.get_model("scripts_admin", "Folder").objects.using(using)
    table = apps.get_model("scripts_admin", "FolderUserPermission").objects.using(using)
    for folder in folders.filter(owner__isnull=False):
        table.get_or_create(
            permission_id=run.pk, content_object_id=folder.pk, user_id=folder.owner_id
        )


def _permissions(apps: StateApps, using: str) -> Any:  # noqa: ANN401 - of the state of that time
    rows = apps.get_model("auth", "Permission").objects.using(using)
    return rows.filter(content_type__app_label="scripts_admin", content_type__model="folder")


def _permission(apps: StateApps, using: str, codename: str, content_type: int) -> Any:  # noqa: ANN401 - of the state of that time
    rows = apps.get_model("auth", "Permission").objects.using(using)
    found, _ = rows.get_or_create(
        codename=codename, content_type_id=content_type, defaults={"name": WORDS[codename]}
    )
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("scripts_admin", "0005_first_link"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="folder",
            options={
                "permissions": [
                    ("see_folder", "May see the scripts of this folder"),
                    ("edit_folder", "May edit the scripts of this folder"),
                    ("run_folder", "May run the scripts of this folder"),
                    ("approve_hosts_folder", "May approve the hosts of this folder"),
                ]
            },
        ),
        migrations.RunPython(split, join),
    ]
