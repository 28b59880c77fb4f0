"""The order of a run's proofs, whatever the clock says; copies are announced before they go."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0044_alone"),
    ]

    operations = [
        migrations.AddField(
            model_name="proof",
            name="number",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="copy",
            name="goes_after",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="copy",
            name="goes_why",
            field=models.TextField(blank=True, default=""),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="copy",
            index=models.Index(
                condition=models.Q(("goes_after__isnull", False)),
                fields=["rule"],
                name="copy_announced",
            ),
        ),
    ]
