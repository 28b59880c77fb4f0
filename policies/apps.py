"""Policies and runs: what is backed up, when, and with which result."""

from importlib import import_module

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    name = "policies"
    verbose_name = "Policies"

    def ready(self) -> None:
        """Load the Celery application, so that a task sent from the web reaches the right broker."""
        import_module("n2wbackup.celery")
