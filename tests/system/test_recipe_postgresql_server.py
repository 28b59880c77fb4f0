"""The PostgreSQL recipe, its server and its set-up: every problem is reported."""

import subprocess
from pathlib import Path

import pytest

from tests.ground import filesystems, postgresql, processes, recipes, scripts, sshd
from tests.ground.leeway import LEEWAY
from tests.ground.recipes import Install
from tests.system.postgresql_runs import METHODS, is_free, put, restored
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.postgresql_fixtures")
pytestmark = pytest.mark.real


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_was_down_meanwhile_is_not_vouched_for(
    ground_folder: Path, method: str
) -> None:
    data = ground_folder / f"mortal-{method}"
    place = ground_folder / f"mortal-scripts-{method}"
    with postgresql.running(data=data, settings={}) as server:
        server.open_shop()
        recipe = recipes.postgresql_client_on_server(place, server, settings={"method": method})
        runs = [a_run(), a_run()]
        before = [scripts.run(recipe.before, environment=run) for run in runs]
    while_down = scripts.run(recipe.after, "1", environment=runs[0])
    with postgresql.running(
        data=data, settings={}, backup_password=server.backup_password
    ) as again:
        again.service_file(recipe.state.parent / "service.conf", tcp=True)
        after = scripts.run(recipe.after, "1", environment=runs[1])
        assert is_free(again)

    assert [each.exit_code for each in before] == [0, 0]
    assert while_down.exit_code == {"checkpoint": 1, "backup": 3}[method], while_down
    assert after.exit_code == 1, after
    reasons = {"checkpoint": "was started anew meanwhile", "backup": "NOT held until now"}
    assert reasons[method] in after.stderr


def test_a_server_that_is_down_is_no_trouble_once_the_deadline_has_passed(
    ground_folder: Path,
) -> None:
    with postgresql.running(data=ground_folder / "lost", settings={}) as server:
        server.open_shop()
        recipe = recipes.postgresql_client_on_server(
            ground_folder / "lost-scripts", server, settings={"method": "backup"}
        )
        assert scripts.run(recipe.before).exit_code == 0
    hold = recipe.state / "hold"
    words = hold.read_text().split(" ")
    words[2] = "1000"  # the deadline, long ago
    hold.write_text(" ".join(words))

    assert scripts.run(recipe.after, "1").exit_code == 1
    assert scripts.run(recipe.after, "1", environment={"N2W_ATTEMPT": "2"}).exit_code == 0
    before = scripts.run(recipe.before)
    assert before.exit_code == 1
    assert "nothing is held: error: connection to server" in before.stderr


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_cannot_be_recovered_from_a_copy_is_refused_and_not_vouched_for(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, setting: str
) -> None:
    recipe, run = postgresql_client_on_server(), a_run()
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    try:
        change(cluster, setting, "off")
        before = scripts.run(recipe.before, environment=a_run())
        after = scripts.run(recipe.after, "1", environment=run)
    finally:
        change(cluster, setting, "on")
    complete = scripts.run(recipe.complete, "1", environment=run)

    assert (before.exit_code, after.exit_code) == (1, 1)
    assert f"{setting} is off" in before.stderr
    assert f"{setting} is off" in after.stderr
    # An unproven backup leaves no position behind, so nothing can be removed by it.
    assert "no position is on record" in complete.stderr


@pytest.mark.parametrize("method", METHODS)
def test_a_standby_is_refused(
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    cluster: postgresql.Cluster,
    method: str,
) -> None:
    cluster.sql("CHECKPOINT")
    image = data_volume.clone_image(disks.mount / "snapshot.img")
    with restored(image, ground_folder / "restored") as data:
        put(data, {"standby.signal": ""})
        with postgresql.running(
            data=data, settings={}, backup_password=cluster.backup_password, standby=True
        ) as standby:
            place = ground_folder / f"standby-scripts-{method}"
            recipe = recipes.postgresql_client_on_server(
                place, standby, settings={"method": method}
            )
            before = scripts.run(recipe.before, environment=a_run())
            free = is_free(standby)

    assert before.exit_code == 1
    assert "nothing is held: this server is a standby" in before.stderr
    assert free


def test_complete_fails_and_removes_nothing_while_the_archive_lacks_the_end_of_the_backup(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, archive: Path
) -> None:
    recipe = postgresql_client_on_server(
        method="backup", archive_folder=archive, archive_seconds="1"
    )
    run = a_run()
    archive.chmod(0o500)  # the server may not write there
    try:
        scripts.run(recipe.before, environment=run)
        assert scripts.run(recipe.after, "1", environment=run).exit_code == 0
        kept = sorted(archive.iterdir())
        complete = scripts.run(recipe.complete, "1", environment=run)
        assert (complete.exit_code, sorted(archive.iterdir())) == (1, kept)
    finally:
        archive.chmod(0o755)

    assert "the label cannot be used: nothing is removed" in complete.stderr


def change(cluster: postgresql.Cluster, setting: str, value: str) -> None:
    cluster.sql(f"ALTER SYSTEM SET {setting} = {value}")
    cluster.sql("SELECT pg_reload_conf()")
    processes.wait_until(
        lambda: cluster.sql(f"SHOW {setting}") == value,
        seconds=60,
        what=f"{setting} is {value}",
    )


# --- set-up and secrets ---


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_password_is_said_and_nothing_is_held(
    postgresql_install: Install, cluster: postgresql.Cluster, method: str
) -> None:
    recipe = postgresql_install(method=method)
    service = recipe.state.parent / "service.conf"
    service.write_text(service.read_text().replace(cluster.backup_password, "swordfish"))

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1
    assert "password authentication failed" in before.stderr
    assert "swordfish" not in before.stderr + before.stdout


@pytest.mark.parametrize("method", METHODS)
def test_a_role_that_lacks_a_right_is_said_and_nothing_is_held(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, method: str
) -> None:
    recipe = postgresql_client_on_server(method=method)
    cluster.sql("CREATE ROLE stranger LOGIN")
    service = recipe.state.parent / "service.conf"
    service.write_text(service.read_text().replace("user=n2wbackup", "user=stranger"))

    before = scripts.run(recipe.before, environment=a_run())
    cluster.sql("DROP ROLE stranger")

    assert before.exit_code == 1
    assert "nothing is held: ERROR:  42501" in before.stderr


def test_a_service_file_that_others_can_read_is_refused(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster
) -> None:
    recipe = postgresql_client_on_server()
    (recipe.state.parent / "service.conf").chmod(0o644)

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 2
    assert "chmod 600" in before.stderr


def test_a_host_that_is_not_reached_is_said(
    ground_folder: Path, postgresql_over_ssh: Install, ground_sshd: sshd.Sshd
) -> None:
    config = ground_folder / "deaf_config"
    port = (str(ground_sshd.port), str(processes.free_port()))
    config.write_text(ground_sshd.config.read_text().replace(*port))
    recipe = postgresql_over_ssh(ssh_config=config)

    before = scripts.run(recipe.before, environment=a_run())
    after = scripts.run(recipe.after, "0", environment=a_run())

    assert before.exit_code == 1
    assert "no connection to instance1: nothing is held" in before.stderr
    assert after.exit_code == 3
    assert "it is not known whether a session is held" in after.stderr


def test_the_password_is_on_no_command_line_and_in_no_environment(
    postgresql_install: Install, cluster: postgresql.Cluster
) -> None:
    recipe, run = postgresql_install(method="backup"), a_run()
    scripts.run(recipe.before, environment=run)
    seen = [
        text
        for pid in Path("/proc").glob("[0-9]*")
        for path in (pid / "cmdline", pid / "environ")
        if (text := text_of(path))
    ]
    scripts.run(recipe.after, "1", environment=run)

    assert any(b"service=n2wbackup" in each for each in seen)
    assert not any(cluster.backup_password.encode() in each for each in seen)


def text_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_nobody_left_behind_holds_the_outputs_of_before(
    postgresql_install: Install, ground_sshd: sshd.Sshd, cluster: postgresql.Cluster
) -> None:
    recipe, run = postgresql_install(method="backup"), a_run()
    ground_sshd.cut()  # so that before has to open the shared connection

    # Reads both pipes to their end, so a process that kept one open would make it wait.
    before = subprocess.run(
        [recipe.before],
        env={**scripts.CLEAN, **run},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=LEEWAY,
    )

    assert b"backup mode is on" in before.stdout, before
    assert scripts.run(recipe.after, "1", environment=run).exit_code == 0


def test_the_readme_grants_what_the_tests_grant() -> None:
    readme = (recipes.RECIPES / "postgresql" / "README.md").read_text()

    for grant in postgresql.BACKUP_GRANTS.strip().splitlines():
        assert grant in readme
