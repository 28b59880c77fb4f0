"""Permits from buckets that are never empty: runs follow each other at once, and still take permits."""

from datetime import timedelta

from django.apps import AppConfig


class LiftingConfig(AppConfig):
    """Lifts the limits on permits in every process that is started with `tests.bench.settings`."""

    name = "tests.bench"
    label = "bench"

    def ready(self) -> None:
        """Change the limits before any task is taken."""
        from policies.services.window import permits  # noqa: PLC0415 - models can be imported only now

        permits.BURST = permits.PER_SECOND = 1e9
        permits.VOLUME_PAUSE = timedelta()
        permits.PENDING_LIMIT = 1_000_000
