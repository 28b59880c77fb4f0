"""The sample application and the generic recipe, as pytest fixtures. A test module asks for them with

pytest_plugins = ("tests.ground.fixtures", "tests.ground.application_fixtures")
"""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import application, filesystems, recipes, scripts
from tests.ground.application import Application, Install


@pytest.fixture(scope="session")
def app_volume(disks: filesystems.Volume) -> Iterator[filesystems.Volume]:
    """The application's data volume, an XFS with its disk on `disks`."""
    with filesystems.xfs(disks.mount, name="app", megabytes=512) as volume:
        yield volume


@pytest.fixture
def app(ground_folder: Path, app_volume: filesystems.Volume) -> Iterator[Application]:
    """An application that writes all the time."""
    name = f"app-{uuid.uuid4().hex[:8]}"
    with Application(app_volume.mount / name, ground_folder / f"{name}-run") as running:
        yield running
    shutil.rmtree(running.data)


@pytest.fixture
def install_app(ground_folder: Path, app: Application) -> Iterator[Install]:
    """Installs the generic recipe for the application, with the given settings; thaws at the end."""
    installed: list[recipes.Recipe] = []

    def put(**settings: str | Path) -> recipes.Recipe:
        place = ground_folder / f"generic-{uuid.uuid4().hex[:8]}"
        installed.append(application.install(place, app, settings=settings))
        return installed[-1]

    yield put
    for recipe in installed:
        if recipe.after.exists():
            scripts.run(recipe.after, "0")
        shutil.rmtree(recipe.state, ignore_errors=True)
