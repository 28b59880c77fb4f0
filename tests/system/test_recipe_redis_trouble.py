"""The Redis recipe when something goes wrong: writes never stay held, and it never says they were."""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.ground import processes, recipes_redis, redis, scripts, sshd
from tests.ground.recipes_redis import Install, Serve
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.redis_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.lasts(60)]


def test_after_fails_when_somebody_else_let_writes_through_and_a_second_attempt_succeeds(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    redis_server.ask("CLIENT", "UNPAUSE")
    redis_writer.wait_for(10)

    first = scripts.run(recipe.after, "1", environment=run)
    second = scripts.run(recipe.after, "1", environment={**run, "N2W_ATTEMPT": "2"})

    assert first.exit_code == 1
    assert "NOT held" in first.stderr
    assert second.exit_code == 0
    redis_writer.wait_for(10)


def test_a_hold_that_was_released_and_taken_again_is_not_vouched_for(
    redis_over_ssh: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe, run = redis_over_ssh(redis_server), a_run()
    scripts.run(recipe.before, environment=run)
    redis_server.ask("CLIENT", "UNPAUSE")
    redis_writer.wait_for(10)
    redis_server.ask("CLIENT", "PAUSE", "60000", "WRITE")

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1
    assert "some came through" in after.stderr
    redis_writer.wait_for(10)


@pytest.mark.parametrize("busy", [True, False], ids=["writers wait", "nobody writes"])
def test_the_deadline_alone_releases_the_writes_and_after_fails_and_says_so(
    redis_client_on_server: Install, redis_server: redis.Server, busy: bool
) -> None:
    recipe = redis_client_on_server(redis_server, deadline_seconds="3")
    with redis.Writer(redis_server) if busy else contextlib.nullcontext() as writer:
        before = scripts.run(recipe.before)
        assert before.exit_code == 0, before
        if writer is not None:
            writer.wait_for(10)
        time.sleep(3)
        after = scripts.run(recipe.after, "1")

    assert after.exit_code == 1
    assert "the hold ended at its deadline" in after.stderr


def test_the_deadline_of_a_run_is_what_is_left_of_its_freeze_time_and_a_margin(
    install_redis: Install, redis_server: redis.Server
) -> None:
    recipe = install_redis(redis_server)

    before = scripts.run(recipe.before, environment=a_run(N2W_SECONDS_LEFT="41.7"))

    assert "56 s" in before.stdout
    if redis_server.kind == "valkey":
        left = redis_server.info()["paused_timeout_milliseconds"]
        assert isinstance(left, int)
        assert 41_000 < left <= 56_000


def test_nothing_held_is_success_when_before_failed_and_failure_when_it_did_not(
    install_redis: Install, redis_server: redis.Server
) -> None:
    recipe = install_redis(redis_server)

    assert scripts.run(recipe.after, "0", environment=a_run()).exit_code == 0
    assert scripts.run(recipe.after, "1", environment=a_run()).exit_code == 1
    assert scripts.run(recipe.after, "1", environment=a_run(N2W_ATTEMPT="2")).exit_code == 0
    assert scripts.run(recipe.after, environment=a_run()).exit_code == 2


def test_after_with_argument_0_releases_and_says_the_same_when_repeated(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    scripts.run(recipe.before, environment=run)

    first = scripts.run(recipe.after, "0", environment=run)
    redis_writer.wait_for(10)
    second = scripts.run(recipe.after, "1", environment=run)

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == second.stdout


@pytest.mark.parametrize("seconds", [0.02, 0.06, 0.1, 0.15, 0.2])
def test_after_releases_what_a_before_killed_at_any_moment_left(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer, seconds: float
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    with scripts.started(recipe.before, environment=run) as before:
        time.sleep(seconds)
        before.kill_group()

    after = scripts.run(recipe.after, "0", environment=run)
    time.sleep(0.3)  # what was on its way arrives late, and must not hold

    assert after.exit_code == 0, after
    redis_writer.wait_for(10)


def test_without_after_what_a_killed_before_left_ends_at_the_deadline_and_no_setting_has_changed(
    redis_client_on_server: Install, redis_server: redis.Server
) -> None:
    original = redis_server.settings()
    recipe = redis_client_on_server(redis_server, deadline_seconds="3")
    with redis.Writer(redis_server) as writer:
        with scripts.started(recipe.before) as before:
            processes.wait_until(
                (recipe.state / "hold").exists, seconds=60, what="before is about to hold"
            )
            before.kill_group()
        time.sleep(3.5)
        writer.wait_for(10)

    assert redis_server.settings() == original


def test_the_hold_outlives_the_connection_and_the_group_of_before(
    redis_over_ssh: Install,
    ground_sshd: sshd.Sshd,
    redis_server: redis.Server,
    redis_writer: redis.Writer,
) -> None:
    recipe, run = redis_over_ssh(redis_server), a_run()
    with scripts.started(recipe.before, environment=run) as at_work:
        before = at_work.result(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(at_work.process.pid, signal.SIGKILL)
    ground_sshd.cut()
    time.sleep(0.3)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 0, after
    assert redis_writer.between(before.ended_at, after.started_at) == []


def test_a_hold_of_an_earlier_run_is_ended_first_and_neither_vouches_for_the_other(
    redis_client_on_server: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe, earlier, later = redis_client_on_server(redis_server), a_run(), a_run()
    scripts.run(recipe.before, environment=earlier)

    before = scripts.run(recipe.before, environment=later)
    assert before.exit_code == 0, before
    assert "an earlier run left the writes held" in before.stderr

    assert scripts.run(recipe.after, "1", environment=earlier).exit_code == 1
    redis_writer.wait_for(10)
    assert scripts.run(recipe.after, "1", environment=later).exit_code == 1


def test_before_is_refused_to_a_run_that_has_ended(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    scripts.run(recipe.after, "0", environment=run)

    before = scripts.run(recipe.before, environment=run)

    assert before.exit_code == 1
    assert "has ended already" in before.stderr
    redis_writer.wait_for(10)


def test_a_primary_that_became_a_replica_inside_the_window_is_not_vouched_for(
    redis_client_on_server: Install, serve_redis: Serve, redis_kind: str
) -> None:
    server, other = serve_redis(redis_kind), serve_redis(redis_kind)
    recipe, run = redis_client_on_server(server), a_run()
    scripts.run(recipe.before, environment=run)
    server.ask("REPLICAOF", "127.0.0.1", str(other.port))

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1
    assert "cannot be vouched for" in after.stderr


# --- the server's own work ---


def slow_down(server: redis.Server, seconds: float) -> None:
    """Let each save and each rewrite of the append-only file take this long."""
    server.ask("SET", "key", "value")
    server.ask("CONFIG", "SET", "rdb-key-save-delay", str(int(seconds * 1_000_000)))


def test_a_rewrite_is_awaited_before_anything_is_held(
    redis_client_on_server: Install, serve_redis: Serve, redis_kind: str
) -> None:
    server = serve_redis(redis_kind)
    slow_down(server, 2)
    server.ask("BGREWRITEAOF")
    recipe, run = redis_client_on_server(server), a_run()

    with redis.Writer(server) as writer:
        before = scripts.run(recipe.before, environment=run)
        rewriting = server.info()["aof_rewrite_in_progress"]
        after = scripts.run(recipe.after, "1", environment=run)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert rewriting == 0
    assert writer.between(before.started_at, before.ended_at) != []


def test_a_rewrite_that_takes_too_long_fails_before_and_nothing_is_held(
    redis_client_on_server: Install, serve_redis: Serve, redis_kind: str
) -> None:
    server = serve_redis(redis_kind)
    slow_down(server, 20)
    server.ask("BGREWRITEAOF")
    recipe = redis_client_on_server(server)

    before = scripts.run(recipe.before, environment=a_run(N2W_TIMEOUT_SECONDS="7"))

    assert before.exit_code == 1
    assert "still busy after 3 s (aof_rewrite_in_progress): nothing is held" in before.stderr
    with redis.Writer(server) as writer:
        writer.wait_for(10)


def test_a_rewrite_inside_the_window_is_not_vouched_for(
    redis_client_on_server: Install, redis_server: redis.Server
) -> None:
    recipe, run = redis_client_on_server(redis_server), a_run()
    scripts.run(recipe.before, environment=run)
    redis_server.ask("BGREWRITEAOF")
    processes.wait_until(
        lambda: redis_server.info()["aof_rewrite_in_progress"] == 0,
        seconds=60,
        what="the rewrite has ended",
    )

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1
    assert "rewritten meanwhile" in after.stderr
    with redis.Writer(redis_server) as writer:
        writer.wait_for(10)


@pytest.mark.parametrize("hold", ["auto", "yes"])
def test_a_save_that_fails_fails_before_and_nothing_is_held(
    install_redis: Install, serve_redis: Serve, redis_kind: str, hold: str
) -> None:
    server = serve_redis(redis_kind, "rdb")
    (server.data / "dump.rdb").mkdir()  # the finished file cannot be renamed to that
    recipe = install_redis(server, hold=hold)
    with redis.Writer(server) as writer:
        before = scripts.run(recipe.before, environment=a_run())
        writer.wait_for(10)

    assert before.exit_code == 1
    assert "could not save its data (BGSAVE): its log says why: nothing is held" in before.stderr


# --- the server is away ---


def test_a_server_that_is_down_is_said_and_nothing_is_held(
    install_redis: Install, redis_server: redis.Server
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    processes.stop(redis_server.process)

    before = scripts.run(recipe.before, environment=run)
    after = scripts.run(recipe.after, "0", environment=run)

    assert before.exit_code == 1
    assert "nothing is held: Could not connect" in before.stderr
    assert after.exit_code == 0, after


def test_a_server_that_died_while_held_and_came_back_is_not_vouched_for(
    ground_folder: Path, redis_kind: str
) -> None:
    place = ground_folder / f"mortal-{redis_kind}"
    with redis.running(redis_kind, place, data=place / "data", persistence="append-only") as server:
        recipe = recipes_redis.install(place / "scripts", server, None)
        run = a_run()
        assert scripts.run(recipe.before, environment=run).exit_code == 0
        server.process.kill()
        server.process.wait()
    while_down = scripts.run(recipe.after, "1", environment=run)
    with redis.running(redis_kind, place, data=place / "data", persistence="append-only") as again:
        again.option_file(place / "scripts-state" / "options", tcp=True)
        after = scripts.run(recipe.after, "1", environment=run)
    shutil.rmtree(place)

    assert while_down.exit_code == 3
    assert "may still be held" in while_down.stderr
    assert after.exit_code == 1
    assert "started anew" in after.stderr


def test_a_dead_server_holds_nothing_once_the_deadline_has_passed(
    redis_client_on_server: Install, redis_server: redis.Server
) -> None:
    recipe = redis_client_on_server(redis_server, deadline_seconds="3")
    assert scripts.run(recipe.before).exit_code == 0
    processes.stop(redis_server.process)
    time.sleep(4)

    assert scripts.run(recipe.after, "1").exit_code == 1
    assert scripts.run(recipe.after, "1", environment={"N2W_ATTEMPT": "2"}).exit_code == 0
