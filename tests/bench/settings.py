"""The server's settings, with AWS's rates lifted: the machine is measured, not the waiting for permits."""

from n2wbackup.settings.main import *  # noqa: F403 - a settings module is the sum of its subjects
from n2wbackup.settings.main import INSTALLED_APPS as SERVERS_OWN

INSTALLED_APPS = [*SERVERS_OWN, "tests.bench.lifting.LiftingConfig"]
