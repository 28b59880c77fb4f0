"""The mark of a run, which before may write into the application."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("policies", "0032_removals")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="mark",
            field=models.CharField(blank=True, editable=False, max_length=32),
        ),
    ]
