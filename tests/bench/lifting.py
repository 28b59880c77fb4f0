"""Permits out of buckets that are never empty: runs follow each other at once, and take permits as ever."""

from datetime import timedelta

from django.apps import AppConfig


class LiftingConfig(AppConfig):
    """Lifts the permits of every process that is started with `tests.bench.settings`."""

    name = "tests.bench"
    label = "bench"

    def ready(self) -> None:
        """Change the numbers before any task is taken."""
        from policies.services.window import permits  # noqa: PLC0415 - models can be imported only now

        permits.BURST = permits.PER_SECOND = 1e9
        permits.VOLUME_PAUSE = timedelta()
        permits.PENDING_LIMIT = 1_000_000
