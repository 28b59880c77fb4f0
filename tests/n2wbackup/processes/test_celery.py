import gc
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery import signals
from celery.fixups.django import DjangoFixup
from celery.schedules import crontab
from django.conf import settings
from django.db import connection
from kombu.transport import redis

from n2wbackup.celery import app
from n2wbackup.lib import garbage, home
from n2wbackup.processes import draining, places, titles

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep the title of this process as it is, and show in a list what it would be."""
    shown: list[str] = []
    monkeypatch.setattr(titles, "setproctitle", shown.append)
    return shown


@pytest.fixture
def worker_that_begins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Do what a worker does before anything else, and undo it at the end."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(redis.Channel, "QoS", redis.QoS)
    switched_each, collected_after = sys.getswitchinterval(), gc.get_threshold()
    garbage.leave_modules()
    signals.celeryd_init.send(sender="w", instance=None, conf=None, options=None)
    yield
    sys.setswitchinterval(switched_each)
    gc.set_threshold(*collected_after)


class Consumer:
    """The part of a worker that the signal `worker_ready` passes on: its app, with its queues."""

    def __init__(self, *queues: str) -> None:
        consumed = SimpleNamespace(consume_from=dict.fromkeys(queues))
        self.app = SimpleNamespace(amqp=SimpleNamespace(queues=consumed))


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("policies.tasks.freeze", "freeze"),
        ("policies.tasks.tick", "tick"),
        ("policies.tasks.poll", "work"),
        ("policies.tasks.anything_else", "work"),
    ],
)
def test_each_task_goes_to_its_queue(task: str, queue: str) -> None:
    assert app.amqp.router.route({}, task)["queue"].name == queue


def test_a_queue_that_nobody_reads_is_an_error() -> None:
    assert set(app.amqp.queues) == {"freeze", "tick", "work", settings.N2W_OWN_QUEUE}
    with pytest.raises(Exception, match="elsewhere"):
        app.amqp.router.route({"queue": "elsewhere"}, "policies.tasks.freeze")


def test_messages_are_json_that_is_acknowledged_early_and_answered_nowhere() -> None:
    assert (app.conf.task_serializer, app.conf.accept_content) == ("json", ["json"])
    assert app.conf.task_acks_late is False
    assert app.conf.task_ignore_result is True
    assert app.conf.get("result_backend") is None
    assert app.conf.worker_prefetch_multiplier == 1


def test_ticks_expire_before_they_crowd() -> None:
    found = {
        entry["task"]: (entry["schedule"], entry["options"]["expires"])
        for entry in app.conf.beat_schedule.values()
    }

    assert found == {
        "policies.tasks.tick": (1.0, 5),
        "policies.tasks.poll": (5.0, 10),
        "policies.tasks.look": (10.0, 15),
        "policies.tasks.ssh": (10.0, 15),
        "policies.tasks.trials": (30.0, 25),
        "policies.tasks.proofs": (10.0, 15),
        "policies.tasks.recoveries": (5.0, 4),
        "policies.tasks.copies": (10.0, 15),
        "policies.tasks.clean_copies": (300.0, 250),
        "policies.tasks.opened": (20.0, 15),
        "policies.tasks.refresh": (60.0, 50),
        "policies.tasks.clean": (60.0, 50),
        "policies.tasks.replan": (3600.0, 3000),
        "policies.tasks.look_at_scripts": (300.0, 250),
        "policies.tasks.delete_old": (600.0, 500),
        "policies.tasks.measure": (crontab(hour="3", minute="41"), 3600),
        "policies.tasks.reconcile": (crontab(hour="4", minute="17"), 3600),
    }


def test_a_worker_that_is_told_to_stop_is_draining(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_asked", type(draining._asked)())
    ends = list[int]()  # the real one would end the tests
    monkeypatch.setattr(signal, "alarm", ends.append)
    assert not draining.draining()

    signals.worker_shutting_down.send(sender="w", sig="TERM", how="Warm", exitcode=0)

    assert draining.draining()
    signals.worker_shutting_down.send(sender="w", sig="TERM", how="Warm", exitcode=0)
    assert draining.draining()
    assert ends[0] == draining.END_SECONDS


def test_workers_and_beat_show_what_they_are(shown: list[str]) -> None:
    signals.worker_ready.send(sender=Consumer("work", "freeze"))
    signals.beat_init.send(sender=None)

    assert shown == ["n2wbackup worker freeze,work", "n2wbackup beat"]


@pytest.mark.django_db(transaction=True)
def test_a_thread_keeps_its_connection_from_task_to_task_until_it_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[str] = []
    connection.ensure_connection()
    monkeypatch.setattr(connection, "close", lambda: closed.append("closed"))
    monkeypatch.setattr(connection, "close_at", None)

    DjangoFixup(app).worker_fixup.close_database()
    signals.task_prerun.send(sender=None)
    signals.task_postrun.send(sender=None)
    assert closed == []

    monkeypatch.setattr(connection, "errors_occurred", True)
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    signals.task_prerun.send(sender=None)
    assert closed == ["closed"]


@pytest.mark.usefixtures("worker_that_begins")
def test_a_worker_writes_no_bytecode() -> None:
    assert sys.dont_write_bytecode is True


@pytest.mark.usefixtures("worker_that_begins")
def test_a_workers_threads_take_turns_quickly() -> None:
    assert sys.getswitchinterval() == pytest.approx(0.0005)


@pytest.mark.usefixtures("worker_that_begins")
def test_a_worker_looks_for_garbage_more_often_than_a_short_command() -> None:
    assert gc.get_threshold()[0] == 2_000


@pytest.mark.usefixtures("worker_that_begins")
def test_a_worker_keeps_its_places_free() -> None:
    assert redis.Channel.QoS.__module__ == places.__name__


@pytest.mark.usefixtures("worker_that_begins")
def test_a_workers_temporary_files_lie_in_memory() -> None:
    assert Path(tempfile.gettempdir()).is_relative_to(home.runtime())


def test_what_the_guard_imports_brings_neither_django_nor_celery() -> None:
    code = (
        "import sys, n2wbackup.lib.clock, n2wbackup.lib.redaction, n2wbackup.processes.titles\n"
        "print(sorted({'django', 'celery', 'kombu'} & set(sys.modules)))"
    )

    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"


def test_a_command_that_only_looks_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from django.core.management import load_command_class\n"
        "load_command_class('policies', 'show_run')\n"
        "costly = {'boto3', 'celery', 'kombu', 'paramiko', 'redis', 'policies.admin'}\n"
        "print(sorted(costly & set(sys.modules)))"
    )

    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"


def test_a_worker_that_is_hung_up_ends_as_by_sigterm_and_executes_nothing_anew(
    shown: list[str],
) -> None:
    term, hup = (signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP))
    try:
        signal.signal(signal.SIGTERM, ends := lambda *_: None)
        signals.worker_ready.send(sender=Consumer("freeze"))
        assert signal.getsignal(signal.SIGHUP) is ends
    finally:
        signal.signal(signal.SIGTERM, term)
        signal.signal(signal.SIGHUP, hup)
    assert shown
