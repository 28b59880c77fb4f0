"""What happens to a run when the broker, the database or the disk under the server fails."""

import contextlib
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from celery import Celery
from redis import Redis

from tests.system.faults import moments
from tests.system.faults.bed import Bed
from tests.system.faults.table import FINE, Fault
from tests.system.faults.table_processes import (
    CUT,
    LATE,
    NOT_FIRED,
    kill_all_who_thaw,
    kill_workers_and_guard,
)

BROKER = "n2wbackup broker"
AWAY_SECONDS = 20.0
LOCKED_SECONDS = 25.0  # longer than a writer waits for its turn
FULL_SECONDS = 8.0
TASKS = ("freeze", "complete", "poll")
AGAIN_SECONDS = 0.3
EVERY = {moment.name: FINE for moment in moments.ALL}


def _flush(bed: Bed, _: str) -> None:
    with Redis(unix_socket_path=str(bed.memory() / "broker.sock")) as broker:
        broker.flushall()


def say_again(bed: Bed, run: str) -> None:
    """Send every hint of the run again and again, until the bed is made."""
    app, ended = Celery(broker=f"redis+socket://{bed.memory()}/broker.sock"), threading.Event()

    def say() -> None:
        while not ended.wait(AGAIN_SECONDS):
            for name in TASKS:
                queue = "freeze" if name == "freeze" else "work"
                words = [] if name == "poll" else [run]
                app.send_task(f"policies.tasks.{name}", args=words, queue=queue)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    bed.helpers.callback(thread.join)
    bed.helpers.callback(ended.set)


def _broker_away(bed: Bed, _: str) -> None:
    assert bed.broker is not None
    bed.broker.stop()


def _broker_back(bed: Bed, _: str) -> None:
    assert bed.broker is not None
    bed.broker.away(AWAY_SECONDS)


def _wake_broker(bed: Bed, _: str) -> None:
    time.sleep(AWAY_SECONDS)
    bed.resume()


def _database_away(bed: Bed, _: str) -> None:
    assert bed.database is not None
    bed.database.stop()


def _database_back(bed: Bed, _: str) -> None:
    assert bed.database is not None
    bed.database.away(AWAY_SECONDS)


def _lock(bed: Bed, _: str) -> None:
    """Hold SQLite's only place for a writer."""
    path = bed.product.home / "db.sqlite3"
    lite = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    bed.helpers.callback(lite.close)
    lite.execute("BEGIN EXCLUSIVE")


def _unlock(bed: Bed, _: str) -> None:
    time.sleep(LOCKED_SECONDS)
    bed.helpers.close()


def _ballast(bed: Bed) -> Path:
    assert bed.mount is not None
    return bed.mount / "ballast"


def _fill(bed: Bed, _: str) -> None:
    with contextlib.suppress(OSError), _ballast(bed).open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def _make_room(bed: Bed, _: str) -> None:
    time.sleep(FULL_SECONDS)
    _ballast(bed).unlink()


def _freeze(bed: Bed, _: str) -> None:
    assert bed.mount is not None
    subprocess.run(["fsfreeze", "--freeze", bed.mount], check=True)


def _unfreeze(bed: Bed, _: str) -> None:
    """Let the disk go when somebody has thawed the application, which is no part of it."""
    if bed.product.marks("before", "start"):
        bed.product.wait_for_mark("after", "end", seconds=60)
    time.sleep(2)
    subprocess.run(["fsfreeze", "--unfreeze", str(bed.mount)], check=True)


def _freezing_scripts(bed: Bed, _: str) -> None:
    bed.scripts(
        before=f"fsfreeze --freeze {bed.mount}",
        after=f"fsfreeze --unfreeze {bed.mount}",
    )


FAULTS = (
    Fault(
        "the embedded Valkey is killed",
        EVERY,
        strike=lambda bed, _: bed.kill(BROKER),
        promised=1.0,
        quick="waiting",
    ),
    Fault(
        "the embedded Valkey hangs for 20 s",
        EVERY,
        strike=lambda bed, _: bed.stop(BROKER),
        recover=_wake_broker,
        promised=1.0,
        quick="before",
    ),
    Fault("Valkey is flushed", EVERY, strike=_flush, promised=1.0, quick="preparing"),
    Fault(
        "Valkey is away for 20 s",
        EVERY,
        bed="broker",
        strike=_broker_away,
        recover=_broker_back,
        promised=1.0,
        quick="call",
    ),
    Fault("every message is delivered twice", EVERY, bed="doubled messages", promised=1.0),
    Fault("every message comes many times", EVERY, strike=say_again, promised=1.0, quick="call"),
    Fault(
        "PostgreSQL is away for 20 s",
        EVERY,
        bed="postgresql",
        strike=_database_away,
        recover=_database_back,
        promised=1.0,
        quick="call",
    ),
    Fault(
        "SQLite is locked for 25 s",
        EVERY,
        strike=_lock,
        recover=_unlock,
        promised=1.0,
        quick="complete",
    ),
    Fault(
        "the disk under N2W_HOME is full for 8 s",
        EVERY,
        bed="small disk",
        strike=_fill,
        recover=_make_room,
        promised=1.0,
        quick="before",
    ),
    Fault(
        "the file system of N2W_HOME is frozen by somebody",
        EVERY,
        bed="small disk",
        strike=_freeze,
        recover=_unfreeze,
        promised=1.0,
        quick="returned",
    ),
    Fault(
        "the file system of N2W_HOME is frozen by before, workers and guard are killed",
        {"before": CUT, "between": NOT_FIRED, "call": LATE, "returned": LATE},
        bed="small disk",
        prepare=_freezing_scripts,
        strike=kill_workers_and_guard,
        promised=10.0,
        quick="call",
        ends_before=True,
    ),
    Fault(
        "the file system of N2W_HOME is frozen by before, workers, guard and watchdog are killed",
        {"before": CUT, "between": NOT_FIRED, "call": LATE, "returned": LATE},
        bed="small disk",
        prepare=_freezing_scripts,
        strike=kill_all_who_thaw,
        promised=10.0,
        quick="call",
        ends_before=True,
    ),
)
