"""The ground as pytest fixtures; a test module asks for them with

    pytest_plugins = ("tests.ground.fixtures",)

and never imports it, because then pytest could not rewrite its asserts.

Servers live as long as the test run, the writer as long as the module.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import filesystems, ledger, mariadb, processes, recipes, scripts, sshd
from tests.ground.recipes import Install


@pytest.fixture(scope="session")
def ground_folder() -> Iterator[Path]:
    """A folder with a short path, which every account can enter."""
    with processes.folder() as made:
        yield made


@pytest.fixture(scope="session")
def ground_sshd(ground_folder: Path) -> Iterator[sshd.Sshd]:
    with sshd.running(ground_folder / "ssh") as server:
        yield server


@pytest.fixture(scope="session")
def disks(ground_folder: Path) -> Iterator[filesystems.Volume]:
    """An XFS for images of disks, which it clones at once: it stands for EBS."""
    with filesystems.xfs(ground_folder, name="disks", megabytes=2048) as volume:
        yield volume


@pytest.fixture(scope="session")
def data_volume(disks: filesystems.Volume) -> Iterator[filesystems.Volume]:
    """The data volume of the database's instance, an XFS with its disk on `disks`."""
    with filesystems.xfs(disks.mount, name="data", megabytes=512) as volume:
        yield volume


@pytest.fixture(scope="session")
def database(ground_folder: Path, data_volume: filesystems.Volume) -> Iterator[mariadb.Server]:
    """A MariaDB server with its data in the folder mysql of the data volume."""
    with mariadb.running(ground_folder / "db", data=data_volume.mount / "mysql") as server:
        yield server


@pytest.fixture(scope="module")
def writer(database: mariadb.Server) -> Iterator[ledger.Writer]:
    """200 commits a second into the database's ledger, all the time."""
    with ledger.Writer(database, per_second=200) as writer:
        yield writer


@pytest.fixture
def over_ssh(
    ground_folder: Path, database: mariadb.Server, ground_sshd: sshd.Sshd
) -> Iterator[Install]:
    """Installs the MariaDB recipe over SSH, with the given settings; unlocks at the end."""
    installed: list[recipes.Recipe] = []

    def install(**settings: str | Path) -> recipes.Recipe:
        place = ground_folder / f"scripts-{uuid.uuid4().hex[:8]}"
        recipe = recipes.mariadb_over_ssh(place, database, ground_sshd, settings=settings)
        installed.append(recipe)
        return recipe

    yield install
    for recipe in installed:
        scripts.run(recipe.after, "0")


@pytest.fixture
def client_on_server(ground_folder: Path, database: mariadb.Server) -> Iterator[Install]:
    """Installs the MariaDB recipe without SSH, with the given settings; unlocks at the end."""
    installed: list[recipes.Recipe] = []

    def install(**settings: str | Path) -> recipes.Recipe:
        place = ground_folder / f"scripts-{uuid.uuid4().hex[:8]}"
        recipe = recipes.mariadb_client_on_server(place, database, settings=settings)
        installed.append(recipe)
        return recipe

    yield install
    for recipe in installed:
        scripts.run(recipe.after, "0")


@pytest.fixture(params=["over_ssh", "client_on_server"])
def install(request: pytest.FixtureRequest) -> Install:
    """Each of the two variants in turn."""
    chosen: Install = request.getfixturevalue(request.param)
    return chosen
