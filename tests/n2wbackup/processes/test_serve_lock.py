import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from n2wbackup.processes import serve_lock

HOLDER = """
import sys, time
from pathlib import Path
from n2wbackup.processes import serve_lock
lock = serve_lock.acquire(Path(sys.argv[1]))
serve_lock.sign(lock)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serve.lock"


@pytest.fixture
def other(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield another process that holds the lock and has signed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_only_one_gets_the_lock(path: Path) -> None:
    first = serve_lock.acquire(path)

    assert first is not None
    assert serve_lock.acquire(path) is None
    os.close(first)
    again = serve_lock.acquire(path)
    assert again is not None
    os.close(again)


def test_the_lock_falls_with_its_holder_however_it_dies(
    path: Path, other: subprocess.Popen[str]
) -> None:
    assert serve_lock.held(path)
    assert serve_lock.holder(path) == other.pid

    other.kill()
    other.wait()

    assert not serve_lock.held(path)
    assert path.read_text() == f"{other.pid}\n"
    assert serve_lock.holder(path) is None, "without a lock, a pid names no holder"


def test_a_refused_one_leaves_the_signature_alone(path: Path, other: subprocess.Popen[str]) -> None:
    assert serve_lock.acquire(path) is None
    assert serve_lock.holder(path) == other.pid


def test_a_new_holder_is_nobody_until_it_signs(path: Path) -> None:
    path.write_text("1\n")
    lock = serve_lock.acquire(path)
    assert lock is not None

    assert serve_lock.holder(path) is None
    serve_lock.sign(lock)
    assert serve_lock.holder(path) == os.getpid()
    os.close(lock)


def test_asking_neither_makes_the_file_nor_takes_the_lock(path: Path) -> None:
    assert not serve_lock.held(path)
    assert not path.exists()

    path.touch()
    assert not serve_lock.held(path)
    lock = serve_lock.acquire(path)
    assert lock is not None
    os.close(lock)


def test_many_may_share_the_lock_and_keep_away_who_wants_it_alone(path: Path) -> None:
    path.write_text("1\n")
    first, second = serve_lock.share(path), serve_lock.share(path)
    assert first is not None
    assert second is not None

    os.close(first)

    assert serve_lock.acquire(path) is None
    assert serve_lock.shared(path)
    assert not serve_lock.held(path)
    assert serve_lock.holder(path) is None, "none of them is the server"
    os.close(second)
    assert not serve_lock.shared(path)
    assert path.read_text() == "1\n", "a process that shares the lock does not sign"


def test_nobody_shares_what_one_holds_alone(path: Path, other: subprocess.Popen[str]) -> None:
    assert serve_lock.share(path) is None
    assert not serve_lock.shared(path)
    assert serve_lock.holder(path) == other.pid


def test_asking_for_shares_does_not_make_the_file(path: Path) -> None:
    assert not serve_lock.shared(path)
    assert not path.exists()


def test_who_only_asks_for_a_moment_is_not_taken_for_a_server(path: Path) -> None:
    asking = serve_lock.acquire(path)
    assert asking is not None
    threading.Timer(0.05, os.close, [asking]).start()

    shared = serve_lock.share(path)

    assert shared is not None
    os.close(shared)
