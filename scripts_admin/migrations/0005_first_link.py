from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scripts_admin", "0004_audit_entries")]

    operations = [
        migrations.CreateModel(
            name="FirstLink",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("made_at", models.DateTimeField()),
            ],
            options={"default_permissions": ()},
        ),
    ]
