"""The MariaDB recipe against a real server, a real sshd and a writer that never rests."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.ground import filesystems, ledger, mariadb, scripts
from tests.ground.recipes import Install
from tests.system.recipe_runs import a_run, is_free, position_told

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = pytest.mark.real


@pytest.mark.parametrize("method", ["backup-stage", "read-lock"])
def test_no_commit_lands_between_the_end_of_before_and_the_start_of_after(
    install: Install, database: mariadb.Server, writer: ledger.Writer, method: str
) -> None:
    recipe, run = install(method=method), a_run()
    writer.wait_for(50)

    before = scripts.run(recipe.before, environment=run)
    at_the_start = database.position()
    time.sleep(0.5)
    at_the_end = database.position()
    after = scripts.run(recipe.after, "1", environment=run)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert f"({method}," in before.stdout
    assert position_told(before) == at_the_start == at_the_end
    assert writer.between(before.ended_at, after.started_at) == []
    writer.wait_for(50)
    assert is_free(database)


def test_a_copy_of_the_data_folder_is_a_gapless_server_that_ends_at_the_recorded_position(
    over_ssh: Install,
    ground_folder: Path,
    data_volume: filesystems.Volume,
    database: mariadb.Server,
    writer: ledger.Writer,
) -> None:
    recipe, run = over_ssh(), a_run()
    copy = data_volume.mount / "copy"

    before = scripts.run(recipe.before, environment=run)
    subprocess.run(["cp", "--reflink=always", "-a", database.data, copy], check=True)
    after = scripts.run(recipe.after, "1", environment=run)
    writer.wait_for(50)

    assert after.exit_code == 0, after
    assert_agrees(ground_folder, copy, database, before)


def test_a_copy_is_brought_to_a_later_moment_by_the_binary_logs_from_the_position_on(
    client_on_server: Install,
    ground_folder: Path,
    data_volume: filesystems.Volume,
    database: mariadb.Server,
    writer: ledger.Writer,
) -> None:
    recipe = client_on_server()
    data = data_volume.mount / "copy-to-go-on"
    before = scripts.run(recipe.before)
    subprocess.run(["cp", "--reflink=always", "-a", database.data, data], check=True)
    scripts.run(recipe.after, "1")
    writer.wait_for(20)
    database.sql("FLUSH BINARY LOGS")
    writer.wait_for(20)

    with mariadb.running(ground_folder / "copy", data=data) as copy:
        at_the_backup = copy.ledger()
        later = database.position()
        copy.replay(database, since=position_told(before), until=later)
        replayed = copy.ledger()

    assert replayed.whole
    assert replayed.last == database.last_number_in_binary_log(*later) > at_the_backup.last + 20


@pytest.mark.parametrize("method", ["backup-stage", "read-lock"])
def test_a_copy_of_the_disk_is_a_gapless_server_that_ends_at_the_recorded_position(
    install: Install,
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    database: mariadb.Server,
    writer: ledger.Writer,
    method: str,
) -> None:
    # Unlike a copy of files, it lacks what is in the page cache only, as an EBS snapshot does.
    recipe, run = install(method=method), a_run()

    before = scripts.run(recipe.before, environment=run)
    image = data_volume.clone_image(disks.mount / "snapshot.img")
    after = scripts.run(recipe.after, "1", environment=run)
    writer.wait_for(50)

    assert after.exit_code == 0, after
    with filesystems.mounted(image, ground_folder / "restored", options=["nouuid"]) as restored:
        assert_agrees(ground_folder, restored.mount / "mysql", database, before)
        file, offset = position_told(before)
        assert (restored.mount / "mysql" / file).stat().st_size == offset
    image.unlink()


def assert_agrees(
    ground_folder: Path, data: Path, original: mariadb.Server, before: scripts.Result
) -> None:
    with mariadb.running(ground_folder / "copy", data=data) as copy:
        ledger = copy.ledger()
        gtid = copy.sql("SELECT @@global.gtid_binlog_pos")[0][0]
    assert ledger.whole
    assert ledger.last == original.last_number_in_binary_log(*position_told(before)) > 0
    assert before.stdout.split()[-1] == gtid


def test_complete_purges_only_what_is_older_than_the_position_and_only_after_success(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe, run = install(), a_run()
    database.sql("FLUSH BINARY LOGS")
    before = scripts.run(recipe.before, environment=run)
    scripts.run(recipe.after, "1", environment=run)
    database.sql("FLUSH BINARY LOGS")
    writer.wait_for(10)
    logs = database.binary_logs()
    file, _ = position_told(before)

    failed = scripts.run(recipe.complete, "0", environment=run)
    assert (failed.exit_code, database.binary_logs()) == (0, logs)

    for _ in range(2):  # a second time does no harm
        done = scripts.run(recipe.complete, "1", environment=run)
        assert done.exit_code == 0, done
        assert database.binary_logs() == logs[logs.index(file) :]
    assert 0 < logs.index(file) < len(logs) - 1


def test_complete_never_uses_the_position_of_another_run(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe, run = install(), a_run()
    database.sql("FLUSH BINARY LOGS")
    scripts.run(recipe.before, environment=run)
    scripts.run(recipe.after, "1", environment=run)
    logs = database.binary_logs()

    done = scripts.run(recipe.complete, "1", environment=a_run())

    assert (done.exit_code, database.binary_logs()) == (1, logs)
    assert "no position is on record" in done.stderr


def test_by_hand_it_works_without_any_variable_of_a_run(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe = install()
    database.sql("FLUSH BINARY LOGS")
    for _ in range(2):
        before = scripts.run(recipe.before)
        after = scripts.run(recipe.after, "1")
        complete = scripts.run(recipe.complete, "1")

        assert (before.exit_code, after.exit_code, complete.exit_code) == (0, 0, 0), (before, after)
        assert writer.between(before.ended_at, after.started_at) == []
        assert database.binary_logs()[0] == position_told(before)[0]
