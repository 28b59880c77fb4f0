import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import policies.domain.runs.verdict
from policies.domain import protection


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0017_inventory_by_id"),
        ("scripts_admin", "0004_audit_entries"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="policy",
            name="failed_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="policy",
            name="objective_seconds",
            field=models.PositiveIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="policy",
            name="paused_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="policy",
            name="protected_until",
            field=models.DateTimeField(default=protection.NEVER_UNTIL, editable=False),
        ),
        migrations.AddField(
            model_name="policy",
            name="reckoned_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="policy",
            name="requires",
            field=models.CharField(
                default=policies.domain.runs.verdict.Consistency["CRASH"],
                editable=False,
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="rpo_hours",
            field=models.PositiveIntegerField(default=0, verbose_name="recovery point objective"),
        ),
        migrations.AddField(
            model_name="policy",
            name="unprotected_from",
            field=models.DateTimeField(default=protection.NEVER_UNTIL, editable=False),
        ),
        migrations.AddField(
            model_name="policytarget",
            name="application_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="policytarget",
            name="application_point",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="policies.runtarget",
            ),
        ),
        migrations.AddField(
            model_name="policytarget",
            name="checked_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="policytarget",
            name="crash_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="policytarget",
            name="crash_point",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="policies.runtarget",
            ),
        ),
        migrations.AddField(
            model_name="policytarget",
            name="lost_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="gone_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="thaw_asked_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="runsnapshot",
            name="state",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("completed", "Completed"),
                    ("error", "Error"),
                    ("missing", "Missing"),
                    ("timed_out", "Timed Out"),
                    ("gone", "Gone"),
                ],
                default="pending",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="policy",
            index=models.Index(fields=["protected_until", "id"], name="policy_worst"),
        ),
        migrations.AddIndex(
            model_name="policy",
            index=models.Index(
                fields=["owner", "protected_until", "id"], name="policy_worst_of_owner"
            ),
        ),
        migrations.AddIndex(
            model_name="policy",
            index=models.Index(
                condition=models.Q(("next_run_at__isnull", False)),
                fields=["owner", "next_run_at"],
                name="policy_next_of_owner",
            ),
        ),
        migrations.AddIndex(
            model_name="policy",
            index=models.Index(
                condition=models.Q(("failed_since__isnull", False)),
                fields=["failed_since"],
                name="policy_failing",
            ),
        ),
        migrations.AddIndex(
            model_name="policy",
            index=models.Index(
                condition=models.Q(("paused_since__isnull", False)),
                fields=["paused_since"],
                name="policy_paused",
            ),
        ),
        migrations.AddIndex(
            model_name="policy",
            index=models.Index(
                condition=models.Q(("reckoned_at", None)), fields=["id"], name="policy_not_reckoned"
            ),
        ),
        migrations.AddIndex(
            model_name="policytarget",
            index=models.Index(
                condition=models.Q(("crash_point__isnull", False)),
                fields=["checked_at"],
                name="target_to_check",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("restore_point", True)),
                fields=["policy", "-created_at"],
                name="run_with_restore_point",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("gone_at__isnull", False)),
                fields=["policy", "-gone_at"],
                name="run_with_gone_snapshots",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("gone_at__isnull", False)),
                fields=["-gone_at"],
                name="run_newest_gone",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("gone_at__isnull", False)),
                fields=["owner", "-gone_at"],
                name="run_newest_gone_of_owner",
            ),
        ),
    ]
