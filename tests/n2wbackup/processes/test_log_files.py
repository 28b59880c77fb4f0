import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from supervisor import loggers

from n2wbackup.processes import log_files


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RotatingFileHandler", "StreamHandler"):  # restored at the end
        monkeypatch.setattr(loggers, name, getattr(loggers, name))
    monkeypatch.setattr(log_files, "_writer", log_files._Writer())
    log_files.install()


@pytest.fixture
def thaw(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A frozen disk: no file can be opened for writing until the event is set."""
    thawed, handler = threading.Event(), log_files._FileHandler

    def stuck(*args: Any) -> Any:
        thawed.wait(60)
        return handler(*args)

    monkeypatch.setattr(log_files, "_FileHandler", stuck)
    yield thawed
    thawed.set()
    log_files.finish()


def log_to(path: Path) -> loggers.Logger:
    logger = loggers.getLogger()
    loggers.handle_file(logger, str(path), "%(message)s\n", rotating=True, maxbytes=100, backups=1)
    return logger


def test_who_logs_does_not_wait_for_the_disk(tmp_path: Path, thaw: threading.Event) -> None:
    path = tmp_path / "web.log"
    logger = log_to(path)

    logger.info("first")
    logger.info(b"second")
    logger.close()

    assert not path.exists()
    thaw.set()
    log_files.finish()
    assert path.read_text() == "first\nsecond\n"


def test_an_end_does_not_wait_for_the_disk_for_ever(
    tmp_path: Path, thaw: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "_END_SECONDS", 0.1)
    logger = log_to(tmp_path / "web.log")
    logger.info("written too late")
    logger.close()

    log_files.finish()

    assert not thaw.is_set()


def test_what_waits_for_the_disk_is_bounded(
    tmp_path: Path, thaw: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "_HELD_BYTES", 20)
    path = tmp_path / "web.log"
    logger = log_to(path)
    for _ in range(100):
        logger.info("a line")
    logger.close()

    thaw.set()
    log_files.finish()

    assert path.read_text() == "a line\na line\n"


def test_files_are_rotated(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    logger = log_to(path)
    for _ in range(3):
        logger.info("x" * 59)
    logger.close()
    log_files.finish()

    assert path.read_text() == "x" * 59 + "\n"
    assert path.with_name("web.log.1").read_text() == 2 * ("x" * 59 + "\n")


def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "away" / "web.log"
    logger = log_to(path)
    logger.info("lost")
    log_files.finish()
    path.parent.mkdir()

    logger.info("kept")
    logger.close()
    log_files.finish()

    assert path.read_text() == "kept\n"


def test_a_file_that_could_not_be_written_is_freed_by_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing writes the rest of its buffer, and the disk may be frozen by then."""
    freed: list[str] = []
    handler = log_files._FileHandler

    class Noted(handler):  # type: ignore[misc, valid-type]
        def __del__(self) -> None:
            freed.append(threading.current_thread().name)

    monkeypatch.setattr(log_files, "_FileHandler", Noted)
    logger = log_to(tmp_path / "log")
    logger.info("said")
    log_files.finish()

    del logger
    gc.collect()
    log_files.finish()
    log_files.finish()

    assert freed == ["logs"]
