from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scripts_admin", "0002_failed_logins")]

    operations = [
        migrations.CreateModel(
            name="FormerFolder",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(db_index=True, max_length=31)),
                ("deleted_at", models.DateTimeField()),
                ("is_set_aside", models.BooleanField(default=False, verbose_name="set aside")),
                ("place", models.CharField(blank=True, max_length=4096, verbose_name="files")),
                (
                    "linux_uid",
                    models.BigIntegerField(blank=True, null=True, verbose_name="Linux uid"),
                ),
            ],
        ),
    ]
