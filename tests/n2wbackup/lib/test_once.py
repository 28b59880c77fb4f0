import os
import stat
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest

from n2wbackup.lib import once
from tests.ground import processes, strangers


def test_the_file_is_made_once_and_then_only_read(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"

    first = once.text(path, lambda: "one")
    second = once.text(path, _fail)

    assert (first, second) == ("one", "one")
    assert path.read_text() == "one\n"


def test_only_we_can_read_it_and_enter_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"

    once.text(path, lambda: "one")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_all_who_race_for_it_get_the_same_text_and_leave_nothing_else(tmp_path: Path) -> None:
    racers = 16
    barrier = Barrier(racers)
    numbers = count()

    def slowly() -> str:
        # All see that the file is missing before the first one writes.
        barrier.wait(timeout=20)
        return str(next(numbers))

    with ThreadPoolExecutor(racers) as pool:
        found = {
            each.result()
            for each in [pool.submit(once.text, tmp_path / "key", slowly) for _ in range(racers)]
        }

    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_an_empty_file_is_refused_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch()

    with pytest.raises(ValueError, match="key is empty: restore it"):
        once.text(path, lambda: "new")

    assert path.read_text() == ""


def test_nothing_is_left_when_the_text_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        once.text(tmp_path / "key", _fail)

    assert list(tmp_path.iterdir()) == []


def _fail() -> str:
    raise RuntimeError


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_for_another_account_can_be_read_by_it() -> None:
    with processes.folder() as home:
        strangers.gets(home)

        path = home / "secrets" / "key"
        once.text(path, lambda: "secret")
        once.text(home / "server-id", lambda: "id")

        assert {each.stat().st_uid for each in (path, path.parent, home / "server-id")} == {
            strangers.UID
        }
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        strangers.does(lambda: _reads(path))


def _reads(path: Path) -> None:
    assert once.text(path, lambda: "another", secret=True) == "secret"
