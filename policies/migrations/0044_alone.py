"""Whether a server may delete: those that have worked until now are taken for the only ones, where they are now."""

from typing import Any

from django.db import migrations, models


def trust(apps: Any, editor: Any) -> None:  # noqa: ANN401 - historical models have no types
    server = apps.get_model("policies", "Server")
    using = editor.connection.alias
    for row in server.objects.using(using).all():
        row.confirmed_at, row.place = row.first_seen_at, {"host": row.host}
        row.save(using=using, update_fields=["confirmed_at", "place"])


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0043_copies_by_state"),
    ]

    operations = [
        migrations.AddField(
            model_name="server",
            name="confirmed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="server",
            name="place",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="server",
            name="doubt",
            field=models.TextField(blank=True, default=""),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="server",
            name="strangers",
            field=models.JSONField(default=dict),
        ),
        migrations.RunPython(trust, migrations.RunPython.noop),
    ]
