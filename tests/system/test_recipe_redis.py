"""The Redis recipe against real servers, a real sshd and a writer that never rests."""

import time
import uuid
from pathlib import Path

import pytest

from tests.ground import filesystems, recipes, redis, scripts
from tests.ground.recipes_redis import Install, Serve
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.redis_fixtures")
pytestmark = pytest.mark.real


def test_no_write_lands_between_the_end_of_before_and_the_start_of_after(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe, run = install_redis(redis_server), a_run()

    before = scripts.run(recipe.before, environment=run)
    time.sleep(0.5)
    after = scripts.run(recipe.after, "1", environment=run)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert "writes are held" in before.stdout
    assert "the writes were held for" in after.stdout
    assert redis_writer.between(before.ended_at, after.started_at) == []
    redis_writer.wait_for(50)


@pytest.mark.parametrize("hold", ["auto", "yes", "no"])
@pytest.mark.parametrize("persistence", redis.PERSISTENCE)
def test_a_server_on_a_copy_of_the_disk_has_every_write_that_before_promises(
    install_redis: Install,
    serve_redis: Serve,
    redis_kind: str,
    persistence: str,
    hold: str,
    ground_folder: Path,
    disks: filesystems.Volume,
    redis_volume: filesystems.Volume,
) -> None:
    # Unlike a copy of files, it lacks what is in the page cache only, as an EBS snapshot does.
    server = serve_redis(redis_kind, persistence)
    recipe, run = install_redis(server, hold=hold), a_run()
    with redis.Writer(server) as writer:
        writer.wait_for(100)

        before = scripts.run(recipe.before, environment=run)
        image = redis_volume.clone_image(disks.mount / "redis-snapshot.img")
        after = scripts.run(recipe.after, "1", environment=run)
        writer.wait_for(50)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    with (
        filesystems.mounted(image, ground_folder / "restored", options=["nouuid"]) as restored,
        redis.running(
            redis_kind,
            ground_folder / f"copy-{uuid.uuid4().hex[:8]}",
            data=restored.mount / server.data.name,
            persistence=persistence,
        ) as copy,
    ):
        ledger = copy.ledger()
        log = copy.log.read_text()
    image.unlink()
    held = hold == "yes" or (hold == "auto" and persistence == "append-only")
    assert ("writes are held" in before.stdout) == held
    assert ledger.whole
    promised = before.ended_at if held else before.started_at
    assert ledger.last >= writer.answered_before(promised) >= 100
    if held:
        # One more may be in it: written, and its answer still on the way when the hold began.
        assert ledger.last <= writer.answered_before(promised) + 1
        assert "truncat" not in log.lower()


def test_no_setting_of_the_server_changes_and_nothing_but_the_hold_is_done_to_it(
    install_redis: Install, redis_server: redis.Server
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    original = redis_server.settings()

    scripts.run(recipe.before, environment=run)
    meanwhile = redis_server.settings()
    scripts.run(recipe.after, "1", environment=run)

    assert original == meanwhile == redis_server.settings()
    assert redis_server.ask("DBSIZE") == 0


def test_complete_says_what_the_copy_holds_and_only_after_success(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    before = scripts.run(recipe.before, environment=run)
    scripts.run(recipe.after, "1", environment=run)

    failed = scripts.run(recipe.complete, "0", environment=run)
    done = scripts.run(recipe.complete, "1", environment=run)
    other = scripts.run(recipe.complete, "1", environment=a_run())
    wrong = scripts.run(recipe.complete, "2", environment=run)

    assert (failed.exit_code, done.exit_code, other.exit_code, wrong.exit_code) == (0, 0, 1, 2)
    assert "did not succeed" in failed.stdout
    assert done.stdout.strip() == before.stdout.splitlines()[-1]
    assert "nothing is on record" in other.stderr


def test_by_hand_it_works_without_any_variable_of_a_run(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe = install_redis(redis_server)
    for _ in range(2):
        before = scripts.run(recipe.before)
        after = scripts.run(recipe.after, "1")

        assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
        assert "75 s" in before.stdout
        assert redis_writer.between(before.ended_at, after.started_at) == []


def test_a_replica_is_copied_without_a_hold_and_a_hold_of_it_is_refused(
    redis_client_on_server: Install, serve_redis: Serve, redis_kind: str
) -> None:
    primary, replica = serve_redis(redis_kind), serve_redis(redis_kind)
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    with redis.Writer(primary) as writer:
        writer.wait_for(50)
        automatic, demanded = (
            redis_client_on_server(replica),
            redis_client_on_server(replica, hold="yes"),
        )

        refused = scripts.run(demanded.before, environment=a_run())
        run = a_run()
        before = scripts.run(automatic.before, environment=run)
        after = scripts.run(automatic.after, "1", environment=run)

    assert refused.exit_code == 1
    assert "this is a replica" in refused.stderr
    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert "nothing is held" in before.stdout


def test_the_readme_grants_what_the_tests_grant() -> None:
    readme = (recipes.RECIPES / "redis" / "README.md").read_text()

    assert f"resetchannels -@all {redis.BACKUP_RULES}\n" in readme
