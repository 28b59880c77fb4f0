"""Policies: what is backed up, when, and what became of it."""

from importlib import import_module

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    """The application that holds policies and runs."""

    name = "policies"
    verbose_name = "Policies"

    def ready(self) -> None:
        """Make the Celery application known: a task sent from the web finds the right broker."""
        import_module("n2wbackup.celery")
