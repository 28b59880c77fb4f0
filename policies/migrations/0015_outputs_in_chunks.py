from typing import Any

import django.db.models.deletion
from django.db import migrations, models

_PIECE_BYTES = 64 * 1024
_ROWS_AT_ONCE = 50


def _cut(apps: Any, schema_editor: Any) -> None:  # noqa: ANN401 - Django's historical models have no types
    """Move what scripts printed into the chunks, a few results at a time."""
    if schema_editor.connection.vendor == "postgresql":
        # Else the table could not be altered afterwards: its checks would still be pending.
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    alias = schema_editor.connection.alias  # the database that is migrated, not always the default
    results = apps.get_model("policies", "PhaseResult").objects.using(alias)
    results = results.exclude(stdout="", stderr="")
    last = 0
    while found := list(results.filter(pk__gt=last).order_by("pk")[:_ROWS_AT_ONCE]):
        last = found[-1].pk
        _move(apps.get_model("policies", "OutputChunk").objects.using(alias), found)


def _move(chunks: Any, found: list[Any]) -> None:  # noqa: ANN401 - as above
    rows = []
    for result in found:
        for stream in ("stdout", "stderr"):
            data = getattr(result, stream).encode("utf-8", "replace")
            setattr(result, f"{stream}_bytes", len(data))
            line = 0
            for start in range(0, len(data), _PIECE_BYTES):
                part = data[start : start + _PIECE_BYTES]
                rows.append(
                    chunks.model(result=result, stream=stream, start=start, line=line, data=part)
                )
                line += part.count(b"\n")
        result.save(update_fields=["stdout_bytes", "stderr_bytes"])
    chunks.bulk_create(rows)


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0014_scale"),
    ]

    operations = [
        migrations.AddField(
            model_name="phaseresult",
            name="stdout_bytes",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="phaseresult",
            name="stderr_bytes",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.CreateModel(
            name="OutputChunk",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "stream",
                    models.CharField(
                        choices=[("stdout", "Stdout"), ("stderr", "Stderr")], max_length=6
                    ),
                ),
                ("start", models.PositiveIntegerField()),
                ("line", models.PositiveIntegerField()),
                ("data", models.BinaryField()),
                (
                    "result",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="chunks",
                        to="policies.phaseresult",
                    ),
                ),
            ],
            options={
                "ordering": ["result", "stream", "start"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("result", "stream", "start"), name="one_piece_of_an_output"
                    )
                ],
            },
        ),
        migrations.RunPython(_cut, migrations.RunPython.noop),
        migrations.RemoveField(model_name="phaseresult", name="stdout"),
        migrations.RemoveField(model_name="phaseresult", name="stderr"),
    ]
