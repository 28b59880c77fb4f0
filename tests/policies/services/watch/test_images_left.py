"""What killed images have left behind is looked for once at the start, and while a folder is there."""

from pathlib import Path

import pytest
from pytest_django import Settings

from policies.adapters import session
from policies.adapters.folder_images import FolderImages
from policies.services.watch.images_left import Reaper


class Counting(FolderImages):
    looks = 0

    def reap(self) -> int:
        self.looks += 1
        return 2


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Counting:
    made = Counting()
    monkeypatch.setattr(session, "images", lambda: made)
    return made


@pytest.fixture
def home(settings: Settings, tmp_path: Path) -> Path:
    settings.N2W_HOME = tmp_path
    return tmp_path


def test_a_server_that_never_opened_one_starts_nothing(home: Path, images: Counting) -> None:
    assert Reaper().turn() == 0
    assert (images.looks, list(home.iterdir())) == (0, [])


def test_it_looks_at_the_start_and_while_a_folder_is_there(home: Path, images: Counting) -> None:
    (home / "images").mkdir(mode=0o700)
    reaper = Reaper()
    assert [reaper.turn(), reaper.turn()] == [2, 0]
    (home / "images" / "left").mkdir()
    assert reaper.turn() == 2
    assert images.looks == 2
