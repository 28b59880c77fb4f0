"""Scripts: whose they are, where they lie, how they run."""

from django.apps import AppConfig


class ScriptsAdminConfig(AppConfig):
    """The application that holds users, script folders and runners."""

    name = "scripts_admin"
    verbose_name = "Scripts"
