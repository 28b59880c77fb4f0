"""The Celery application: `python -m celery -A n2wbackup worker`.

The package `n2wbackup` itself does not import this module: the guard imports the package, and must
stay small.
"""

import os
import sys
from typing import Any

from celery import Celery, signals
from django.db import close_old_connections

from n2wbackup.lib import home
from n2wbackup.processes import draining, titles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")

SWITCH_SECONDS = 0.0005  # Python's own 5 ms, a few times over, would be most of a hold

app = Celery("n2wbackup")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect(weak=False)
def _leave_logging_alone(**_: Any) -> None:  # noqa: ANN401
    """Being connected is all it takes: Celery then keeps the logging that Django has set up."""


@signals.celeryd_init.connect(weak=False)
def _write_no_bytecode(**_: Any) -> None:  # noqa: ANN401
    """Keep a worker from writing a .pyc on a disk that it has frozen: it would wait for itself."""
    sys.dont_write_bytecode = True


@signals.celeryd_init.connect(weak=False)
def _take_turns_quickly(**_: Any) -> None:  # noqa: ANN401
    """Let a thread whose application is frozen have Python soon: others may prepare or enter meanwhile."""
    sys.setswitchinterval(SWITCH_SECONDS)


@signals.celeryd_init.connect(weak=False)
def _keep_temporary_files_in_memory(**_: Any) -> None:  # noqa: ANN401
    """Have the forkserver's socket where no frozen disk keeps it waiting, and nobody cleans up."""
    home.keep_temporary_files_in_memory()


@signals.task_prerun.connect(weak=False)
@signals.task_postrun.connect(weak=False)
def _let_go_of_broken_connections(**_: Any) -> None:  # noqa: ANN401
    """Keep a thread's connection for its next task, unless it is broken or old; as Django does for requests."""
    close_old_connections()


@signals.worker_ready.connect(weak=False)
def _show_worker(sender: Any, **_: Any) -> None:  # noqa: ANN401
    """Set the title again: Celery has overwritten it."""
    titles.show(f"worker {','.join(sorted(sender.app.amqp.queues.consume_from))}")


@signals.beat_init.connect(weak=False)
def _show_beat(**_: Any) -> None:  # noqa: ANN401
    titles.show("beat")


@signals.worker_shutting_down.connect(weak=False)
def _drain(**_: Any) -> None:  # noqa: ANN401
    draining.begin()
