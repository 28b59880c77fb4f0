"""The guard's side of the launcher: what must not happen even if the launcher never begins."""

import fcntl
import os
import selectors
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import launched, launching
from scripts_admin.guard.forked import Ends
from scripts_admin.guard.launched import Launched
from tests.scripts_admin.guard.stage import Stage


@pytest.fixture
def ends() -> Iterator[Ends]:
    null = [os.open(os.devnull, os.O_RDWR) for _ in range(3)]
    yield Ends(*null)
    for descriptor in null:
        os.close(descriptor)


def test_a_share_that_hangs_does_not_keep_the_lock_of_the_run(
    tmp_path: Path, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage.under(tmp_path)
    stage.script("after", "true")
    record = stage.record()
    command = record.command(Phase.AFTER)
    assert command is not None
    monkeypatch.setattr(launched, "_request", lambda *_: time.sleep(3600))
    monkeypatch.setattr(launching, "START_SECONDS", 2.0)
    path = tmp_path / "lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)

    with selectors.DefaultSelector() as selector:
        child = Launched(record, command, ends, selector, lambda _: None, lambda: None)
    os.close(lock)
    try:
        assert child.refusal
        with path.open() as another:
            fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child._launcher, signal.SIGKILL)
        os.waitpid(child._launcher, 0)
