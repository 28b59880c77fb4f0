"""The Celery application: its settings that are objects of Celery, and what its programs do at their moments.

The package `n2wbackup` itself does not import this module, because the guard imports the package and
must stay small.
"""

import os
import signal
import sys
from typing import Any

from celery import Celery, signals
from celery.schedules import crontab
from django.conf import settings
from django.db import close_old_connections
from kombu import Queue

from n2wbackup.lib import garbage, heaps, home
from n2wbackup.processes import draining, places, titles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")

SWITCH_SECONDS = 0.0005  # with Python's default of 5 ms, a few switches would take most of a hold

app = Celery("n2wbackup")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Each server takes what needs its own spool from a queue of its own.
shared = [Queue("freeze"), Queue("tick"), Queue("work")]
app.conf.task_queues = [*shared, Queue(settings.N2W_OWN_QUEUE)]
# A few ticks, and no entry per policy: each tick asks the database what is due. An expired tick is dropped
# unread, so a worker that was away does not find many old ticks.
app.conf.beat_schedule = {
    "tick": {"task": "policies.tasks.tick", "schedule": 1.0, "options": {"expires": 5}},
    "poll": {"task": "policies.tasks.poll", "schedule": 5.0, "options": {"expires": 10}},
    "look": {"task": "policies.tasks.look", "schedule": 10.0, "options": {"expires": 15}},
    "ssh": {"task": "policies.tasks.ssh", "schedule": 10.0, "options": {"expires": 15}},
    "trials": {"task": "policies.tasks.trials", "schedule": 30.0, "options": {"expires": 25}},
    "proofs": {"task": "policies.tasks.proofs", "schedule": 10.0, "options": {"expires": 15}},
    "recoveries": {
        "task": "policies.tasks.recoveries",
        "schedule": 5.0,
        "options": {"expires": 4},
    },
    "opened": {"task": "policies.tasks.opened", "schedule": 20.0, "options": {"expires": 15}},
    "replan": {"task": "policies.tasks.replan", "schedule": 3600.0, "options": {"expires": 3000}},
    "refresh": {"task": "policies.tasks.refresh", "schedule": 60.0, "options": {"expires": 50}},
    "look_at_scripts": {
        "task": "policies.tasks.look_at_scripts",
        "schedule": 300.0,
        "options": {"expires": 250},
    },
    "delete_old": {
        "task": "policies.tasks.delete_old",
        "schedule": 600.0,
        "options": {"expires": 500},
    },
    "clean": {"task": "policies.tasks.clean", "schedule": 60.0, "options": {"expires": 50}},
    "copies": {"task": "policies.tasks.copies", "schedule": 10.0, "options": {"expires": 15}},
    "clean_copies": {
        "task": "policies.tasks.clean_copies",
        "schedule": 300.0,
        "options": {"expires": 250},
    },
    "measure": {
        "task": "policies.tasks.measure",
        "schedule": crontab(hour="3", minute="41"),
        "options": {"expires": 3600},
    },
    "reconcile": {
        "task": "policies.tasks.reconcile",
        "schedule": crontab(hour="4", minute="17"),
        "options": {"expires": 3600},
    },
}
app.autodiscover_tasks()


@signals.setup_logging.connect(weak=False)
def _leave_logging_alone(**_: Any) -> None:  # noqa: ANN401
    """Do nothing: if this signal has a receiver, Celery keeps the logging that Django has set up."""


@signals.celeryd_init.connect(weak=False)
def _write_no_bytecode(**_: Any) -> None:  # noqa: ANN401
    """Keep a worker from writing a .pyc file to a disk that it has frozen: it would block itself."""
    sys.dont_write_bytecode = True


@signals.celeryd_init.connect(weak=False)
def _take_turns_quickly(**_: Any) -> None:  # noqa: ANN401
    """Let a thread whose application is frozen get Python's lock soon, although other threads have work to do."""
    sys.setswitchinterval(SWITCH_SECONDS)


@signals.celeryd_init.connect(weak=False)
def _keep_temporary_files_in_memory(**_: Any) -> None:  # noqa: ANN401
    """Keep the forkserver's socket in memory, where no frozen disk blocks it and no clean-up removes it."""
    home.keep_temporary_files_in_memory()


@signals.celeryd_init.connect(weak=False)
def _keep_memory_small(**_: Any) -> None:  # noqa: ANN401
    """Keep a worker from growing for as long as it lives: its threads come and go with their connections."""
    garbage.leave_nothing()
    heaps.share_among_threads()


@signals.celeryd_init.connect(weak=False)
def _keep_places_free(**_: Any) -> None:  # noqa: ANN401
    """Keep a worker from standing still after its broker was away."""
    places.keep_free()


@signals.task_prerun.connect(weak=False)
@signals.task_postrun.connect(weak=False)
def _let_go_of_broken_connections(**_: Any) -> None:  # noqa: ANN401
    """Close a thread's connection if it is broken or old, else keep it for the next task (as Django does)."""
    close_old_connections()


@signals.worker_ready.connect(weak=False)
def _show_worker(sender: Any, **_: Any) -> None:  # noqa: ANN401
    """Set the title again: Celery has overwritten it."""
    shared = set(sender.app.amqp.queues.consume_from) - {settings.N2W_OWN_QUEUE}
    titles.show(f"worker {','.join(sorted(shared))}")


@signals.worker_ready.connect(weak=False)
def _end_when_hung_up(**_: Any) -> None:  # noqa: ANN401
    """Take SIGHUP as SIGTERM: Celery would execute the program anew, inside of who keeps it running.

    The kernel sends it to whom SIGSTOP had stopped when their parent was killed.
    """
    signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))


@signals.beat_init.connect(weak=False)
def _show_beat(**_: Any) -> None:  # noqa: ANN401
    titles.show("beat")


@signals.worker_shutting_down.connect(weak=False)
def _drain(**_: Any) -> None:  # noqa: ANN401
    """Open no new window; and end in any case, also if a task hangs and nobody is left to kill this process."""
    draining.begin()
    signal.alarm(draining.END_SECONDS)
