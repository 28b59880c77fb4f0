from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def mark_restore_points(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    alias = schema_editor.connection.alias
    snapshots = apps.get_model("policies", "RunSnapshot").objects.using(alias)
    usable = snapshots.filter(target__run=models.OuterRef("pk"), state="completed")
    runs = apps.get_model("policies", "Run").objects.using(alias)
    runs.filter(models.Exists(usable), ended_at__isnull=False).update(restore_point=True)


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0005_alarms"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="events_deleted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="outputs_deleted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="restore_point",
            field=models.BooleanField(default=False),
        ),
        migrations.AddIndex(
            model_name="alarm",
            index=models.Index(fields=["created_at"], name="alarm_by_age"),
        ),
        migrations.AddIndex(
            model_name="dailycount",
            index=models.Index(fields=["day"], name="count_of_day"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("outputs_deleted_at", None)),
                fields=["ended_at"],
                name="run_with_outputs",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("events_deleted_at", None)),
                fields=["ended_at"],
                name="run_with_events",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("restore_point", False)),
                fields=["ended_at"],
                name="run_without_restore_point",
            ),
        ),
        migrations.RunPython(mark_restore_points, migrations.RunPython.noop),
    ]
