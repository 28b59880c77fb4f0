"""The PostgreSQL recipe when something goes wrong: nothing stays held, and nothing is vouched for."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import ledger, postgresql, processes, recipes, scripts, sshd
from tests.ground.recipes import Install
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.postgresql_fixtures")
pytestmark = pytest.mark.real

METHODS = ["checkpoint", "backup"]


def is_free(cluster: postgresql.Cluster) -> bool:
    return cluster.sessions_of_backup_role() == []


def wait_until_free(cluster: postgresql.Cluster, *, seconds: float) -> None:
    processes.wait_until(lambda: is_free(cluster), seconds=seconds, what="the session is gone")


def holder(recipe: recipes.Recipe) -> int:
    return int((recipe.state / "hold").read_text().split()[0])


def test_after_fails_when_the_session_was_lost_and_a_second_attempt_succeeds(
    postgresql_install: Install, cluster: postgresql.Cluster, archive: Path
) -> None:
    recipe, run = postgresql_install(method="backup", archive_folder=archive), a_run()
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    (session,) = cluster.sessions_of_backup_role()
    cluster.sql(f"SELECT pg_terminate_backend({session})")
    wait_until_free(cluster, seconds=5)
    kept = sorted(archive.iterdir())

    first = scripts.run(recipe.after, "1", environment=run)
    assert first.exit_code == 1
    assert "backup mode was NOT held until now" in first.stderr
    assert "--- backup_label" not in first.stdout
    assert is_free(cluster)

    second = scripts.run(recipe.after, "1", environment={**run, "N2W_ATTEMPT": "2"})
    assert second.exit_code == 0
    # What nobody vouches for leaves no position behind, so nothing can be removed by it.
    assert scripts.run(recipe.complete, "1", environment=run).exit_code == 1
    assert set(kept) <= set(archive.iterdir())


def test_after_ends_a_session_whose_client_is_stopped_and_does_not_vouch_for_it(
    postgresql_install: Install, cluster: postgresql.Cluster
) -> None:
    recipe, run = postgresql_install(method="backup"), a_run()
    scripts.run(recipe.before, environment=run)
    os.killpg(holder(recipe), signal.SIGSTOP)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1, after
    assert is_free(cluster)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_held_is_success_when_before_failed_and_failure_when_it_did_not(
    postgresql_install: Install, cluster: postgresql.Cluster, method: str
) -> None:
    recipe = postgresql_install(method=method)

    assert scripts.run(recipe.after, "0", environment=a_run()).exit_code == 0
    assert scripts.run(recipe.after, "1", environment=a_run()).exit_code == 1
    assert scripts.run(recipe.after, "1", environment=a_run(N2W_ATTEMPT="2")).exit_code == 0


@pytest.mark.parametrize("method", METHODS)
def test_after_with_argument_0_ends_what_before_began(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, method: str
) -> None:
    recipe, run = postgresql_client_on_server(method=method), a_run()
    scripts.run(recipe.before, environment=run)

    assert scripts.run(recipe.after, "0", environment=run).exit_code == 0
    assert is_free(cluster)


@pytest.mark.parametrize("method", METHODS)
def test_after_repeated_says_again_what_it_said(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, method: str
) -> None:
    recipe, run = postgresql_client_on_server(method=method), a_run()
    scripts.run(recipe.before, environment=run)

    first, second = (scripts.run(recipe.after, "1", environment=run) for _ in range(2))

    assert (first.exit_code, second.exit_code) == (0, 0), second
    assert first.stdout == second.stdout
    assert scripts.run(recipe.complete, "1", environment=run).exit_code == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["client alive", "client stopped"])
def test_the_deadline_alone_ends_the_session(
    postgresql_install: Install, cluster: postgresql.Cluster, *, stopped: bool
) -> None:
    # With the client stopped, as on a machine that is cut off, the server does it by itself.
    recipe = postgresql_install(method="backup", deadline_seconds="2")
    assert scripts.run(recipe.before).exit_code == 0
    if stopped:
        os.killpg(holder(recipe), signal.SIGSTOP)
    assert not is_free(cluster)

    wait_until_free(cluster, seconds=9)

    assert scripts.run(recipe.after, "1").exit_code == 1


def test_the_deadline_of_a_run_is_what_is_left_of_its_freeze_time_and_a_margin(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster
) -> None:
    recipe = postgresql_client_on_server(method="backup")

    before = scripts.run(recipe.before, environment=a_run(N2W_SECONDS_LEFT="41.7"))

    assert "56 s" in before.stdout


def test_the_session_keeps_no_row_from_vacuum(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster
) -> None:
    recipe = postgresql_client_on_server(method="backup")
    scripts.run(recipe.before)

    keeps = cluster.sql(
        "SELECT state, backend_xmin, backend_xid FROM pg_stat_activity WHERE usename = 'n2wbackup'"
    )

    assert keeps == "idle in transaction||"


@contextlib.contextmanager
def hanging_checkpoints(cluster: postgresql.Cluster) -> Iterator[None]:
    """Whoever wants a checkpoint waits for it, until the block ends."""
    kind = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    checkpointer = int(cluster.sql(kind))
    os.kill(checkpointer, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(checkpointer, signal.SIGCONT)


@pytest.mark.parametrize("method", METHODS)
def test_before_gives_up_when_the_checkpoint_takes_too_long_and_nothing_is_held(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, method: str
) -> None:
    recipe, run = postgresql_client_on_server(method=method, checkpoint_seconds="1"), a_run()

    with hanging_checkpoints(cluster):
        before = scripts.run(recipe.before, environment=run)
        wait_until_free(cluster, seconds=5)

    assert before.exit_code == 1, before
    assert "the checkpoint was not done within 1 s" in before.stderr
    assert scripts.run(recipe.after, "0", environment=run).exit_code == 0


def test_a_before_killed_while_it_waits_for_the_checkpoint_holds_nothing_later(
    postgresql_install: Install, cluster: postgresql.Cluster
) -> None:
    recipe, run = postgresql_install(method="backup"), a_run()
    with hanging_checkpoints(cluster):
        with scripts.started(recipe.before, environment=run) as before:
            processes.wait_until(
                lambda: is_waiting(cluster), seconds=5, what="before waits for the checkpoint"
            )
            before.kill_group()
        after = scripts.run(recipe.after, "0", environment=run)

        assert after.exit_code == 0, after
        assert is_free(cluster)


def is_waiting(cluster: postgresql.Cluster) -> bool:
    events = cluster.sql("SELECT wait_event FROM pg_stat_activity WHERE usename = 'n2wbackup'")
    return "Checkpoint" in events


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.2, 0.4])
def test_after_ends_what_a_before_killed_at_any_moment_left(
    postgresql_install: Install, cluster: postgresql.Cluster, seconds: float
) -> None:
    recipe, run = postgresql_install(method="backup"), a_run()
    with scripts.started(recipe.before, environment=run) as before:
        time.sleep(seconds)
        before.kill_group()

    first = scripts.run(recipe.after, "0", environment=run)
    time.sleep(0.5)  # what was on its way arrives late, and must not begin
    assert first.exit_code == 0, first
    assert is_free(cluster)


def test_a_session_left_by_an_earlier_run_is_ended_first_and_its_after_does_not_vouch_for_it(
    postgresql_install: Install, cluster: postgresql.Cluster
) -> None:
    recipe, earlier, later = postgresql_install(method="backup"), a_run(), a_run()
    scripts.run(recipe.before, environment=earlier)

    before = scripts.run(recipe.before, environment=later)
    assert before.exit_code == 0, before
    assert "an earlier run left a session" in before.stderr
    assert len(cluster.sessions_of_backup_role()) == 1

    assert scripts.run(recipe.after, "1", environment=earlier).exit_code == 1
    assert is_free(cluster)


@pytest.mark.parametrize("method", METHODS)
def test_before_is_refused_to_a_run_that_has_ended(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, method: str
) -> None:
    recipe, run = postgresql_client_on_server(method=method), a_run()
    scripts.run(recipe.after, "0", environment=run)

    before = scripts.run(recipe.before, environment=run)

    assert before.exit_code == 1
    assert "has ended already" in before.stderr
    assert is_free(cluster)


def test_the_session_outlives_the_connection_and_after_makes_a_new_one(
    postgresql_over_ssh: Install, ground_sshd: sshd.Sshd, cluster: postgresql.Cluster
) -> None:
    recipe, run = postgresql_over_ssh(method="backup"), a_run()
    scripts.run(recipe.before, environment=run)
    ground_sshd.cut()
    time.sleep(0.3)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 0, after
    assert "START WAL LOCATION" in after.stdout


def test_the_session_outlives_the_group_of_before(
    postgresql_install: Install, cluster: postgresql.Cluster
) -> None:
    # Whoever thaws in the place of a dead guard ends before's group first.
    recipe, run = postgresql_install(method="backup"), a_run()
    with scripts.started(recipe.before, environment=run) as at_work:
        at_work.result(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(at_work.process.pid, signal.SIGKILL)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 0, after


# --- the server ---


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

    assert (before.exit_code, after.exit_code) == (1, 1)
    assert f"{setting} is off" in before.stderr
    assert f"{setting} is off" in after.stderr


def change(cluster: postgresql.Cluster, setting: str, value: str) -> None:
    cluster.sql(f"ALTER SYSTEM SET {setting} = {value}")
    cluster.sql("SELECT pg_reload_conf()")
    processes.wait_until(
        lambda: cluster.sql(f"SHOW {setting}") == value, seconds=5, what=f"{setting} is {value}"
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
        check=True,
        timeout=10,
    )

    assert b"backup mode is on" in before.stdout
    assert scripts.run(recipe.after, "1", environment=run).exit_code == 0


def test_the_readme_grants_what_the_tests_grant() -> None:
    readme = (recipes.RECIPES / "postgresql" / "README.md").read_text()

    for grant in postgresql.BACKUP_GRANTS.strip().splitlines():
        assert grant in readme
