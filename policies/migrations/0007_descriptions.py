import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0006_ages"),
    ]

    operations = [
        migrations.CreateModel(
            name="Description",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("resource_id", models.CharField(max_length=32)),
                ("document", models.JSONField()),
                ("last_seen_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["last_seen_at"], name="description_by_age")],
            },
        ),
        migrations.AddField(
            model_name="runtarget",
            name="description",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="targets",
                to="policies.description",
            ),
        ),
    ]
