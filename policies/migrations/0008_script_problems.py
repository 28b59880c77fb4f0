from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("policies", "0007_descriptions")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="script_problems",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
