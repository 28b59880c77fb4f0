"""Policies and runs: what is backed up, when, and with which result."""

from importlib import import_module

from django.apps import AppConfig

from scripts_admin import ports


class PoliciesConfig(AppConfig):
    name = "policies"
    verbose_name = "Policies"

    def ready(self) -> None:
        """Tell the pages of scripts where to ask for policies; the module is imported when they do."""
        ports.fill(lambda: import_module("policies.selectors.directory").Directory())
