"""What the tests of files in snapshots stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.adapters.folder_images import FolderImages
from policies.models import RunSnapshot
from tests.policies.services.browsing import opened


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return opened.disk(tmp_path)


@pytest.fixture
def images(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderImages]:
    with opened.images(disk, monkeypatch) as made:
        yield made


@pytest.fixture
def snapshot(db: None, images: FolderImages) -> RunSnapshot:
    return opened.snapshot()
