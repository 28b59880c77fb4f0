"""A web process that does not report is killed: real sockets and processes, a clock of the test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from n2wbackup.processes import notify, vigil
from tests.ground import processes
from tests.ground.leeway import LEEWAY


@dataclass
class Process:
    pid: int | None
    kills: list[int | None] = field(default_factory=list)

    def kill_hard(self) -> None:
        self.kills.append(self.pid)


class Stage:
    """A vigil, and a clock that goes on by steps as small as the supervisor's."""

    def __init__(self, ear: vigil.Ear) -> None:
        self.vigil, self.now = vigil.Vigil(ear), 1_000.0

    def wait(self, process: Process, seconds: float) -> bool:
        until, killed = self.now + seconds, False
        while self.now < until:
            self.now += 1
            killed |= self.vigil.look(process, self.now)
        return killed


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[vigil.Ear]:
    monkeypatch.setenv("NOTIFY_SOCKET", "")
    with processes.folder("n2wbackup-vigil-") as folder:
        (folder / "notify").touch()  # left by an earlier server
        made = vigil.Ear(folder / "notify")
        made.invite()
        yield made
        made.close()


@pytest.fixture
def stage(ear: vigil.Ear) -> Stage:
    return Stage(ear)


def test_who_reports_is_left_alone(stage: Stage) -> None:
    process = Process(os.getpid())
    for _ in range(20):
        notify.send(notify.ALIVE)
        assert not stage.wait(process, vigil.SILENT_SECONDS - 1)

    assert process.kills == []


def test_who_falls_silent_is_killed_once(stage: Stage) -> None:
    process = Process(os.getpid())
    notify.send(notify.READY)
    assert not stage.wait(process, vigil.SILENT_SECONDS)

    assert stage.wait(process, 5)
    # It may be unkillable for a while.
    assert not stage.wait(process, vigil.SILENT_SECONDS - 5)
    assert process.kills == [os.getpid()]


def test_a_start_may_take_longer(stage: Stage) -> None:
    process = Process(os.getpid())

    assert not stage.wait(process, vigil.START_SECONDS - 1)
    assert stage.wait(process, 5)


def test_a_new_process_starts_with_the_time_of_a_start(stage: Stage) -> None:
    notify.send(notify.ALIVE)
    stage.wait(Process(os.getpid()), vigil.SILENT_SECONDS - 1)

    assert not stage.wait(Process(os.getpid() + 1), vigil.START_SECONDS - 1)


def test_the_time_that_the_supervisor_itself_was_stopped_does_not_count(stage: Stage) -> None:
    process = Process(os.getpid())
    notify.send(notify.ALIVE)
    stage.wait(process, 10)

    stage.now += 3_600

    assert not stage.wait(process, vigil.SILENT_SECONDS - 15)
    assert stage.wait(process, 20)


def test_another_process_cannot_report_for_it(ear: vigil.Ear, stage: Stage) -> None:
    stage.wait(process := Process(os.getpid()), 1)
    liar = subprocess.Popen(
        [sys.executable, "-c", "from n2wbackup.processes import notify; notify.send(notify.ALIVE)"]
    )
    assert liar.wait(timeout=LEEWAY) == 0
    stage.wait(process, 1)

    assert stage.wait(process, vigil.START_SECONDS)


def test_who_does_not_run_is_not_killed(stage: Stage) -> None:
    assert not stage.wait(process := Process(None), 2 * vigil.START_SECONDS)
    assert process.kills == []


def test_a_report_to_nobody_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify.is_wanted()
    notify.send(notify.ALIVE)
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    notify.send(notify.ALIVE)


def test_a_report_that_nobody_takes_does_not_block(ear: vigil.Ear) -> None:
    for _ in range(10_000):
        notify.send(notify.ALIVE)

    processes.wait_until(lambda: os.getpid() in ear.senders(), seconds=LEEWAY, what="the reports")
