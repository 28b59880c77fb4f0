"""Scripts: who owns them, where they are, how they run."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import Tags, register

# The tags of our checks: whether scripts can run here, and whether nobody else can have changed the server.
SCRIPTS, TRUSTED = "scripts", "trusted"


class ScriptsAdminConfig(AppConfig):
    """The application with users, script folders and the guard that runs scripts."""

    name = "scripts_admin"
    verbose_name = "Scripts"

    def ready(self) -> None:
        """Register the system checks; their modules need the models to be loaded."""
        checks = import_module("scripts_admin.checks")
        register(checks.script_account, SCRIPTS)
        register(checks.scripts_root, SCRIPTS)
        register(checks.trusted, TRUSTED, Tags.models)
