"""Scripts: whose they are, where they lie, how they run."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import register


class ScriptsAdminConfig(AppConfig):
    """The application that holds users, script folders and runners."""

    name = "scripts_admin"
    verbose_name = "Scripts"

    def ready(self) -> None:
        """Register the system checks; their modules need the models to be loaded."""
        checks = import_module("scripts_admin.checks")
        register(checks.script_account)
        register(checks.scripts_root)
