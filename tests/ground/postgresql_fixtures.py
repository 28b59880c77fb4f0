"""PostgreSQL on the ground as pytest fixtures, beside those of `tests.ground.fixtures`, with

pytest_plugins = ("tests.ground.fixtures", "tests.ground.postgresql_fixtures")
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import filesystems, ledger, postgresql, recipes, scripts, sshd
from tests.ground.recipes import Install


@pytest.fixture(scope="session")
def archive(ground_folder: Path) -> Path:
    """The folder of the archived WAL."""
    return postgresql.own_folder(ground_folder / "archive")


@pytest.fixture(scope="session")
def cluster(data_volume: filesystems.Volume, archive: Path) -> Iterator[postgresql.Cluster]:
    """A PostgreSQL cluster, data and WAL, in the folder postgresql of the data volume."""
    data = data_volume.mount / "postgresql"
    with postgresql.running(data=data, settings=postgresql.archiving(archive)) as cluster:
        cluster.open_shop()
        yield cluster


@pytest.fixture(scope="module")
def cluster_writer(cluster: postgresql.Cluster) -> Iterator[ledger.Writer]:
    """200 commits a second into the cluster's ledger, all the time."""
    with ledger.Writer(cluster, per_second=200) as writer:
        yield writer


@pytest.fixture
def postgresql_over_ssh(
    ground_folder: Path, cluster: postgresql.Cluster, ground_sshd: sshd.Sshd
) -> Iterator[Install]:
    """Installs the PostgreSQL recipe over SSH, with the given settings; cleans up at the end."""
    installed: list[recipes.Recipe] = []

    def install(**settings: str | Path) -> recipes.Recipe:
        place = ground_folder / f"scripts-{uuid.uuid4().hex[:8]}"
        recipe = recipes.postgresql_over_ssh(place, cluster, ground_sshd, settings=settings)
        installed.append(recipe)
        return recipe

    yield install
    for recipe in installed:
        scripts.run(recipe.after, "0")


@pytest.fixture
def postgresql_client_on_server(
    ground_folder: Path, cluster: postgresql.Cluster
) -> Iterator[Install]:
    """Installs the PostgreSQL recipe without SSH, with the given settings; cleans up at the end."""
    installed: list[recipes.Recipe] = []

    def install(**settings: str | Path) -> recipes.Recipe:
        place = ground_folder / f"scripts-{uuid.uuid4().hex[:8]}"
        recipe = recipes.postgresql_client_on_server(place, cluster, settings=settings)
        installed.append(recipe)
        return recipe

    yield install
    for recipe in installed:
        scripts.run(recipe.after, "0")


@pytest.fixture(params=["postgresql_over_ssh", "postgresql_client_on_server"])
def postgresql_install(request: pytest.FixtureRequest) -> Install:
    """Each of the two variants in turn."""
    chosen: Install = request.getfixturevalue(request.param)
    return chosen
