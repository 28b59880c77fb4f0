"""The recipes for scripts on instances, with real databases and file systems, through the wrapper by SSM and by SSH.

By SSM a command lasts until everyone who holds its output has closed it: what before leaves behind must not.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts_admin.runners import far
from tests.ground import filesystems, fsfreeze, mariadb, on_instance, postgresql
from tests.ground.application import Application
from tests.ground.on_instance import Told
from tests.system.recipe_runs import is_free

pytest_plugins = (
    "tests.ground.fixtures",
    "tests.ground.postgresql_fixtures",
    "tests.ground.fsfreeze_fixtures",
    "tests.ground.application_fixtures",
)
pytestmark = pytest.mark.real

Way = Callable[[far.Order, Callable[[], object]], Told]
WAYS = pytest.mark.parametrize("way", [on_instance.by_ssm, on_instance.by_ssh], ids=["ssm", "ssh"])


def assert_as_told(told: Told) -> None:
    assert told.before.code == 0, told
    assert (told.thawing.by, told.thawing.argument) == (far.By.WORKER, "1"), told
    assert told.after.code == 0, told


@WAYS
def test_mariadb_commits_nothing_between_both(
    ground_folder: Path, database: mariadb.Server, way: Way
) -> None:
    options = database.option_file(ground_folder / "on-instance.cnf")
    state = ground_folder / f"on-instance-{way.__name__}"
    settings = {"option_file": options, "state_folder": state, "data_folder": database.data}
    seen: list[tuple[str, int]] = []

    def meanwhile() -> None:
        assert not is_free(database)
        seen.append(database.position())

    told = way(on_instance.order("mariadb-on-the-instance", settings), meanwhile)

    assert_as_told(told)
    assert f"binary log position: {seen[0][0]} {seen[0][1]} " in told.outputs["before.stdout"]
    assert "the lock was held for" in told.outputs["after.stdout"]
    assert is_free(database)


@WAYS
def test_postgresql_holds_backup_mode_between_both(
    ground_folder: Path, cluster: postgresql.Cluster, way: Way
) -> None:
    service = cluster.service_file(ground_folder / "on-instance.conf")
    state = ground_folder / f"on-instance-pg-{way.__name__}"
    settings = {"service_file": service, "state_folder": state, "data_folder": cluster.data}
    held: list[int] = []

    told = way(
        on_instance.order("postgresql-on-the-instance", settings | {"method": "backup"}),
        lambda: held.extend(cluster.sessions_of_backup_role()),
    )

    assert_as_told(told)
    assert len(held) == 1
    assert "START WAL LOCATION" in told.outputs["after.stdout"]
    assert cluster.sessions_of_backup_role() == []


@WAYS
def test_file_systems_are_frozen_between_both(
    volumes: list[filesystems.Volume], ground_folder: Path, way: Way
) -> None:
    settings = {
        "mounts": "\n".join(str(volume.mount) for volume in volumes),
        "state_folder": f"/dev/shm/n2w-on-instance-{ground_folder.name}",
    }
    frozen: list[bool] = []

    told = way(
        on_instance.order("fsfreeze-on-the-instance", settings),
        lambda: frozen.extend(fsfreeze.is_frozen(volume.mount) for volume in volumes),
    )

    assert_as_told(told)
    assert frozen == [True, True]
    assert "until now and are thawed" in told.outputs["after.stdout"]
    assert not any(fsfreeze.is_frozen(volume.mount) for volume in volumes)


@WAYS
def test_an_application_stands_still_between_both(app: Application, way: Way) -> None:
    settings: dict[str, str | Path] = {
        "application": f"on-instance-{app.data.name}",
        "maintenance_file": app.maintenance,
        "stopped_file": app.stopped,
        "data_folder": app.data,
    }
    stood: list[bool] = []

    told = way(
        on_instance.order("generic-on-the-instance", settings),
        lambda: stood.append(app.stopped.exists()),
    )

    assert_as_told(told)
    assert stood == [True]
    assert "was frozen for" in told.outputs["after.stdout"]
    app.wait_for(5)


def test_the_agents_own_file_system_is_not_frozen_by_ssm(
    volumes: list[filesystems.Volume], ground_folder: Path
) -> None:
    """The agent's folder is one of those that the recipe looks at: it stands for one that lies on the volume."""
    recipe = on_instance.order(
        "fsfreeze-on-the-instance",
        {
            "mounts": str(volumes[0].mount),
            "state_folder": f"/dev/shm/n2w-on-instance-{ground_folder.name}",
        },
    )
    assert isinstance(recipe.before, far.Carried)
    text = recipe.before.text.replace(b"/var/lib/amazon/ssm", str(volumes[0].mount).encode())
    moved = far.Order(
        recipe.nonce, far.Carried(recipe.before.name, text), recipe.after, recipe.environment
    )

    with pytest.raises(AssertionError, match="lies on the same file system"):
        on_instance.by_ssm(moved, lambda: None)

    assert not fsfreeze.is_frozen(volumes[0].mount)
