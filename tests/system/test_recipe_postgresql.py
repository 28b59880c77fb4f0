"""The PostgreSQL recipe against a real server, a real sshd and a writer that never rests."""

import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.ground import components, filesystems, ledger, postgresql, recipes, scripts
from tests.ground.recipes import Install
from tests.system.postgresql_runs import (
    METHODS,
    TO_THE_END,
    assert_whole,
    printed_files,
    put,
    recover_from,
    restored,
    started,
)
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.postgresql_fixtures")
pytestmark = pytest.mark.real


@pytest.mark.parametrize("method", METHODS)
def test_commits_go_on_between_before_and_after(
    postgresql_install: Install,
    cluster: postgresql.Cluster,
    cluster_writer: ledger.Writer,
    method: str,
) -> None:
    recipe, run = postgresql_install(method=method), a_run()

    before = scripts.run(recipe.before, environment=run)
    cluster_writer.wait_for(20)
    held = cluster.sessions_of_backup_role()
    after = scripts.run(recipe.after, "1", environment=run)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert (before.stderr, after.stderr) == ("", "")
    assert len(held) == (1 if method == "backup" else 0)
    assert len(cluster_writer.between(before.ended_at, after.started_at)) >= 20
    assert cluster.sessions_of_backup_role() == []


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_of_the_disk_starts_without_a_label_and_has_what_was_committed_before(
    postgresql_install: Install,
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    cluster_writer: ledger.Writer,
    method: str,
) -> None:
    recipe, run = postgresql_install(method=method), a_run()
    cluster_writer.wait_for(20)

    before = scripts.run(recipe.before, environment=run)
    cluster_writer.wait_for(20)
    copied_at = datetime.now(UTC)
    image = data_volume.clone_image(disks.mount / "snapshot.img")
    after = scripts.run(recipe.after, "1", environment=run)
    cluster_writer.wait_for(20)

    assert after.exit_code == 0, after
    with restored(image, ground_folder / "restored") as data, started(data) as copy:
        last = assert_whole(copy, cluster_writer, until=copied_at)
        assert last < cluster_writer.commits[-1].number
        assert "redo starts at" in copy.log.read_text()
    assert before.ended_at < copied_at


def test_a_checkpoint_makes_the_recovery_begin_where_before_said(
    postgresql_client_on_server: Install,
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    cluster_writer: ledger.Writer,
) -> None:
    recipe, run = postgresql_client_on_server(), a_run()

    before = scripts.run(recipe.before, environment=run)
    image = data_volume.clone_image(disks.mount / "snapshot.img")
    scripts.run(recipe.after, "1", environment=run)

    told = re.search(r"recovers from (\S+) in ([0-9A-F]{24}) or later", before.stdout)
    assert told, before
    with restored(image, ground_folder / "restored") as data, started(data) as copy:
        assert f"redo starts at {told[1]}" in copy.log.read_text()
        place = ("-h", copy.folder, "-p", str(copy.port), "-U", postgresql.USER)
        check = components.program("pg_amcheck")
        subprocess.run([check, "--all", "--install-missing", *place], check=True, timeout=60)


def test_with_the_label_and_the_archive_a_copy_is_brought_to_the_end_of_the_backup(
    postgresql_install: Install,
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    archive: Path,
    cluster_writer: ledger.Writer,
) -> None:
    recipe, run = postgresql_install(method="backup"), a_run()
    before = scripts.run(recipe.before, environment=run)
    image = data_volume.clone_image(disks.mount / "snapshot.img")
    cluster_writer.wait_for(20)
    after = scripts.run(recipe.after, "1", environment=run)
    complete = scripts.run(recipe.complete, "1", environment=run)
    cluster_writer.wait_for(20)

    assert (before.exit_code, after.exit_code, complete.exit_code) == (0, 0, 0), complete
    assert "the label can be used" in complete.stdout
    label = printed_files(after.stdout)
    assert set(label) == {"backup_label"}
    kept = recipe.state / f"label.{run['N2W_RUN_ID']}" / "backup_label"
    assert kept.read_text() == label["backup_label"]
    with restored(image, ground_folder / "restored") as data:
        command = recover_from(archive, data, label)
        with started(data, restore_command=command, **TO_THE_END) as copy:
            last = assert_whole(copy, cluster_writer, until=after.started_at)
    assert last < cluster_writer.commits[-1].number


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_is_brought_to_a_later_moment_with_the_label_or_from_one_atomic_set_without(
    postgresql_client_on_server: Install,
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    archive: Path,
    cluster: postgresql.Cluster,
    cluster_writer: ledger.Writer,
    method: str,
) -> None:
    recipe, run = postgresql_client_on_server(method=method), a_run()
    scripts.run(recipe.before, environment=run)
    image = data_volume.clone_image(disks.mount / "snapshot.img")
    after = scripts.run(recipe.after, "1", environment=run)
    cluster_writer.wait_for(50)
    at_the_least = datetime.now(UTC)
    cluster.sql(f"SELECT pg_create_restore_point('{run['N2W_RUN_ID']}')")
    at_the_most = cluster_writer.commits[-1].number + 1
    cluster_writer.wait_for(20)
    archive_everything(cluster)

    with restored(image, ground_folder / "restored") as data:
        command = recover_from(archive, data, printed_files(after.stdout))
        target = {"recovery_target_name": run["N2W_RUN_ID"], "recovery_target_action": "promote"}
        with started(data, restore_command=command, **target) as copy:
            last = assert_whole(copy, cluster_writer, until=at_the_least)
    assert last <= at_the_most
    assert bool(printed_files(after.stdout)) == (method == "backup")


def test_with_the_label_but_without_the_archive_a_copy_refuses_to_start(
    postgresql_client_on_server: Install,
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    cluster_writer: ledger.Writer,
) -> None:
    # The end of the backup was written after the copy was made, so it is not in it.
    recipe, run = postgresql_client_on_server(method="backup"), a_run()
    scripts.run(recipe.before, environment=run)
    image = data_volume.clone_image(disks.mount / "snapshot.img")
    after = scripts.run(recipe.after, "1", environment=run)

    with restored(image, ground_folder / "restored") as data:
        put(data, printed_files(after.stdout))
        with pytest.raises(RuntimeError, match="WAL ends before end of online backup"):
            start_and_stop(data)


def test_volumes_copied_one_after_the_other_are_restored_with_the_label_and_not_without(
    ground_folder: Path, disks: filesystems.Volume, data_volume: filesystems.Volume
) -> None:
    archive = postgresql.own_folder(ground_folder / "archive-apart")
    wal_folder, mount = ground_folder / "restored-wal", ground_folder / "restored"
    with (
        filesystems.xfs(disks.mount, name="wal", megabytes=300) as wal_volume,
        postgresql.running(
            data=data_volume.mount / "apart",
            wal=wal_volume.mount / "wal",
            settings=postgresql.archiving(archive),
        ) as server,
    ):
        server.open_shop()
        recipe = recipes.postgresql_client_on_server(
            ground_folder / "scripts-apart", server, settings={"method": "backup"}
        )
        with ledger.Writer(server) as writer:
            scripts.run(recipe.before)
            wal_image = wal_volume.clone_image(disks.mount / "wal-snapshot.img")
            writer.wait_for(20)
            server.sql("CHECKPOINT")  # the data then name a checkpoint that the copied WAL lacks
            image = data_volume.clone_image(disks.mount / "snapshot.img")
            after = scripts.run(recipe.after, "1")
            complete = scripts.run(recipe.complete, "1")
    assert complete.exit_code == 0, complete

    with (
        filesystems.mounted(wal_image, wal_folder, options=["nouuid"]),
        restored(image, mount, "apart") as data,
    ):
        (data / "pg_wal").unlink()
        (data / "pg_wal").symlink_to(wal_folder / "wal")
        with pytest.raises(RuntimeError, match="could not locate a valid checkpoint record"):
            start_and_stop(data)
        command = recover_from(archive, data, printed_files(after.stdout))
        with started(data, restore_command=command, **TO_THE_END) as copy:
            assert_whole(copy, writer, until=after.started_at)
    wal_image.unlink()


def start_and_stop(data: Path) -> None:
    with started(data):
        pass


def archive_everything(cluster: postgresql.Cluster) -> None:
    file = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
    deadline = time.monotonic() + 20
    while cluster.sql("SELECT left(last_archived_wal, 24) FROM pg_stat_archiver") < file:
        assert time.monotonic() < deadline, f"{file} is not archived"
        time.sleep(0.05)


def test_a_tablespace_has_its_place_on_record_beside_the_label(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, archive: Path
) -> None:
    recipe, run = postgresql_client_on_server(method="backup"), a_run()
    place = postgresql.own_folder(archive.with_name("space"))
    cluster.sql(f"CREATE TABLESPACE far LOCATION '{place}'")
    number = cluster.sql("SELECT oid FROM pg_tablespace WHERE spcname = 'far'")

    scripts.run(recipe.before, environment=run)
    after = scripts.run(recipe.after, "1", environment=run)
    cluster.sql("DROP TABLESPACE far")

    assert printed_files(after.stdout)["tablespace_map"] == f"{number} {place}\n"


@pytest.mark.parametrize("method", METHODS)
def test_complete_removes_only_what_is_older_than_the_backup_and_only_when_told_to(
    postgresql_install: Install,
    archive: Path,
    cluster: postgresql.Cluster,
    cluster_writer: ledger.Writer,
    method: str,
) -> None:
    recipe, run = postgresql_install(method=method, archive_folder=archive), a_run()
    later = a_run(N2W_RUN_ID="z-later")
    archive_everything(cluster)
    before = scripts.run(recipe.before, environment=run)
    scripts.run(recipe.after, "1", environment=run)
    archive_everything(cluster)
    assert scripts.run(recipe.before, environment=later).exit_code == 0
    assert scripts.run(recipe.after, "1", environment=later).exit_code == 0
    start = re.findall(r"[0-9A-F]{24}", before.stdout)[-1]
    kept = wal_files(archive)

    failed = scripts.run(recipe.complete, "0", environment=run)
    assert (failed.exit_code, wal_files(archive)[: len(kept)]) == (0, kept)

    without = scripts.run(recipe.complete, "1", environment=a_run())
    assert (without.exit_code, wal_files(archive)[: len(kept)]) == (1, kept)
    assert "no position is on record" in without.stderr

    for _ in range(2):  # a second time does no harm
        done = scripts.run(recipe.complete, "1", environment=run)
        assert done.exit_code == 0, done
        assert wal_files(archive)[0] == start
    assert start in kept[1:]


def wal_files(archive: Path) -> list[str]:
    return sorted(path.name for path in archive.iterdir() if len(path.name) == 24)


@pytest.mark.parametrize("method", METHODS)
def test_complete_removes_nothing_unless_it_is_configured(
    postgresql_client_on_server: Install, archive: Path, cluster: postgresql.Cluster, method: str
) -> None:
    recipe, run = postgresql_client_on_server(method=method), a_run()
    archive_everything(cluster)
    scripts.run(recipe.before, environment=run)
    scripts.run(recipe.after, "1", environment=run)
    kept = wal_files(archive)

    done = scripts.run(recipe.complete, "1", environment=run)

    assert (done.exit_code, wal_files(archive)[: len(kept)]) == (0, kept)
    assert "nothing is removed" in done.stdout


def test_by_hand_it_works_without_any_variable_of_a_run(
    postgresql_install: Install, cluster: postgresql.Cluster
) -> None:
    for method in METHODS:
        recipe = postgresql_install(method=method)
        for _ in range(2):
            done = [
                scripts.run(recipe.before),
                scripts.run(recipe.after, "1"),
                scripts.run(recipe.complete, "1"),
            ]
            assert [each.exit_code for each in done] == [0, 0, 0], done
