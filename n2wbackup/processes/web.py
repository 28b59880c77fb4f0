"""Settings of gunicorn: `python -m gunicorn -c python:n2wbackup.processes.web ...`."""

from typing import Any

from n2wbackup.lib import garbage
from n2wbackup.processes import titles
from n2wbackup.settings.env import N2W_PORT
from n2wbackup.settings.logging import LOGGING

garbage.leave_modules()

# This machine only: to reach it over the network, put a proxy with TLS in front.
bind = f"127.0.0.1:{N2W_PORT}"
workers = 2
worker_class = "gthread"
threads = 4
preload_app = True  # once, for both workers
graceful_timeout = 20
# The heartbeat file: on a disk it would block the pages whenever that disk is frozen.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn unlinks the file before it uses it
control_socket_disable = True
logconfig_dict = LOGGING


def pre_fork(_server: Any, _worker: Any) -> None:  # noqa: ANN401 - gunicorn has no annotations
    """Set the title of the master process again: gunicorn has overwritten it."""
    titles.show("web")


def post_worker_init(_worker: Any) -> None:  # noqa: ANN401
    """Set the title of a worker again."""
    titles.show("web")
