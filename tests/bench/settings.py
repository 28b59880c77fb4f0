"""The server's settings without AWS's rate limits: the bench measures the machine, not the wait for permits."""

from n2wbackup.settings.main import *  # noqa: F403 - a settings module is the sum of its subjects
from n2wbackup.settings.main import INSTALLED_APPS as SERVERS_OWN

INSTALLED_APPS = [*SERVERS_OWN, "tests.bench.lifting.LiftingConfig"]
