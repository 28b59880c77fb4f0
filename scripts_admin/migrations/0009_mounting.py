from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("scripts_admin", "0008_ssh_keys_and_hosts"),
    ]

    operations = [
        migrations.AddField(
            model_name="folder",
            name="may_mount",
            field=models.BooleanField(default=False, verbose_name="snapshots may be mounted"),
        ),
    ]
