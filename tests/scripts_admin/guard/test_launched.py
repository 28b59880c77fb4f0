"""The guard's side of the launcher: what must not happen even if the launcher never begins."""

import fcntl
import json
import os
import selectors
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import launched, launching, linux
from scripts_admin.guard.forked import Ends
from scripts_admin.guard.launched import Launched
from scripts_admin.guard.launching import LaunchError
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


class Another:
    """Another launcher, which answers when the test says so."""

    started: ClassVar[list["Another"]] = []

    def __init__(self, request: dict[str, object]) -> None:
        self.what, self._found = request["do"], ""
        self._read, self._write = os.pipe()
        self.started.append(self)

    def fileno(self) -> int:
        return self._read

    def says(self, found: str) -> None:
        self._found = found
        os.write(self._write, b"x")

    def answer(self, _: float) -> dict[str, str]:
        if not self._found:
            raise LaunchError
        return {"said": self._found}

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


def _stands(*around: object) -> NoReturn:
    socket, me = around[3], linux.identify(os.getpid())
    found = {"said": "standing", "pid": me.pid, "start": me.start_ticks}
    socket.send(json.dumps(found).encode())  # type: ignore[attr-defined]
    time.sleep(3600)
    os._exit(0)


def test_the_answer_about_a_launcher_that_has_died_meanwhile_is_not_taken_for_the_scripts_end(
    tmp_path: Path, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would let after run beside a before that lives."""
    stage = Stage.under(tmp_path)
    stage.script("before", "true")
    record = stage.record()
    command = record.command(Phase.BEFORE)
    assert command is not None
    monkeypatch.setattr(launched, "_become_launcher", _stands)
    monkeypatch.setattr(launched, "Call", Another)
    monkeypatch.setattr(Another, "started", [])
    codes: list[int | None] = []

    def turn() -> None:
        for key, _ in selector.select(0.2):
            key.data(key.fd)

    with selectors.DefaultSelector() as selector:
        child = Launched(record, command, ends, selector, codes.append, lambda: None)
        child.let_go({"arguments": [], "environment": {}})
        child.tick(linux.boottime() + 60)
        os.kill(child.process.pid, signal.SIGKILL)
        while len(Another.started) < 2:
            turn()
        wake, end = Another.started
        assert (wake.what, end.what) == ("wake", "end")
        with suppress(OSError):
            wake.says("awake")
        turn()
        turn()
        assert not child.is_gone()
        assert codes == []
        end.says("gone")
        turn()
        assert child.is_gone()
    assert codes == [None]
