"""A folder of Alice's, open, with one script."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from scripts_admin.folders import looking, storage
from scripts_admin.models import Folder
from tests.scripts_admin.folders.texts import TEXT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(settings, "N2W_SCRIPTS_ROOT", tmp_path / "scripts")
    made = Folder(name="alice", owner_id=1)
    storage.create(made)
    return made


@pytest.fixture
def place(folder: Folder) -> Iterator[int]:
    with looking.opened(folder) as found:
        yield found


@pytest.fixture
def script(folder: Folder) -> Path:
    path = storage.path(folder) / "before_p.sh"
    path.write_bytes(TEXT)
    path.chmod(0o754)
    return path
