from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0019_pauses"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="runsnapshot",
            index=models.Index(fields=["volume_id"], name="snapshot_of_volume"),
        ),
        migrations.AddIndex(
            model_name="runsnapshot",
            index=models.Index(
                condition=models.Q(("state", "completed"), _negated=True),
                fields=["state"],
                name="snapshot_of_rare_state",
            ),
        ),
        migrations.AddIndex(
            model_name="runtarget",
            index=models.Index(fields=["instance_id"], name="run_target_of_instance"),
        ),
    ]
