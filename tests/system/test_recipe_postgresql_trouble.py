"""The PostgreSQL recipe when something goes wrong: nothing stays held, and nothing is vouched for."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import postgresql, processes, recipes, scripts, sshd
from tests.ground.leeway import LEEWAY
from tests.ground.recipes import Install
from tests.system.postgresql_runs import METHODS, is_free, wait_until_free
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.postgresql_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.lasts(60)]


def holder(recipe: recipes.Recipe) -> int:
    return int((recipe.state / "hold").read_text().split()[0])


def test_after_fails_when_the_session_was_lost_and_a_second_attempt_succeeds(
    postgresql_install: Install, cluster: postgresql.Cluster, archive: Path
) -> None:
    recipe, run = postgresql_install(method="backup", archive_folder=archive), a_run()
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    (session,) = cluster.sessions_of_backup_role()
    cluster.sql(f"SELECT pg_terminate_backend({session})")
    wait_until_free(cluster, seconds=LEEWAY)
    kept = sorted(archive.iterdir())

    first = scripts.run(recipe.after, "1", environment=run)
    assert first.exit_code == 1
    assert "backup mode was NOT held until now" in first.stderr
    assert "--- backup_label" not in first.stdout
    assert is_free(cluster)

    second = scripts.run(recipe.after, "1", environment={**run, "N2W_ATTEMPT": "2"})
    assert second.exit_code == 0
    # An unproven backup leaves no position behind, so nothing can be removed by it.
    assert scripts.run(recipe.complete, "1", environment=run).exit_code == 1
    assert set(kept) <= set(archive.iterdir())


def test_after_ends_a_session_whose_client_is_stopped_and_does_not_vouch_for_it(
    postgresql_client_on_server: Install, cluster: postgresql.Cluster
) -> None:
    recipe, run = postgresql_client_on_server(method="backup"), a_run()
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
    postgresql_client_on_server: Install, cluster: postgresql.Cluster, *, stopped: bool
) -> None:
    # With the client stopped, as on a machine that is cut off, the server does it by itself.
    recipe = postgresql_client_on_server(method="backup", deadline_seconds="5")
    assert scripts.run(recipe.before).exit_code == 0
    if stopped:
        os.killpg(holder(recipe), signal.SIGSTOP)
    assert not is_free(cluster)

    wait_until_free(cluster, seconds=LEEWAY)

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
    """Let every checkpoint wait until the block ends."""
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
        wait_until_free(cluster, seconds=LEEWAY)

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
                lambda: is_waiting(cluster), seconds=60, what="before waits for the checkpoint"
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
    # A thaw in the place of a dead guard ends before's group first.
    recipe, run = postgresql_install(method="backup"), a_run()
    with scripts.started(recipe.before, environment=run) as at_work:
        at_work.result(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(at_work.process.pid, signal.SIGKILL)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 0, after
