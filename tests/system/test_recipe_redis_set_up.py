"""The refusals of the Redis recipe; and its password is visible nowhere."""

import subprocess
from pathlib import Path

import pytest

from tests.ground import redis, scripts, sshd
from tests.ground.leeway import LEEWAY
from tests.ground.recipes_redis import Install
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.redis_fixtures")
pytestmark = pytest.mark.real


def test_a_wrong_password_is_said_and_nothing_is_held(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe = install_redis(redis_server)
    options = recipe.state.parent / "options"
    options.write_text(options.read_text().replace(redis_server.backup_password, "swordfish"))

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1
    assert "nothing is held: WRONGPASS" in before.stderr
    assert "swordfish" not in before.stderr + before.stdout
    redis_writer.wait_for(10)


def test_a_right_that_is_missing_is_said_and_nothing_is_held(
    install_redis: Install, redis_server: redis.Server, redis_writer: redis.Writer
) -> None:
    recipe = install_redis(redis_server)
    redis_server.ask("ACL", "SETUSER", redis.BACKUP_USER, "-client|pause")

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1
    assert "NOPERM" in before.stderr
    assert "nothing is held" in before.stderr
    redis_writer.wait_for(10)


@pytest.mark.parametrize(
    ("line", "mode", "said"),
    [("", 0o644, "chmod 600"), ("pasword=swordfish", 0o600, "a line is neither")],
)
def test_an_option_file_that_is_open_or_misspelt_is_refused(
    install_redis: Install, redis_server: redis.Server, line: str, mode: int, said: str
) -> None:
    recipe = install_redis(redis_server)
    options = recipe.state.parent / "options"
    options.write_text(options.read_text() + line)
    options.chmod(mode)

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 2
    assert said in before.stderr
    assert "swordfish" not in before.stderr


def test_an_append_only_file_on_another_machine_is_refused(
    redis_client_on_server: Install, redis_server: redis.Server
) -> None:
    before = scripts.run(
        redis_client_on_server(redis_server, data_folder="").before, environment=a_run()
    )

    assert before.exit_code == 1
    assert "only on the server's machine" in before.stderr


def test_the_password_is_on_no_command_line_and_in_no_environment(
    install_redis: Install, redis_server: redis.Server, tmp_path: Path
) -> None:
    # A client in the place of the real one notes what everybody could see of it, and of its parents.
    seen = tmp_path / "seen"
    spy = tmp_path / "spy"
    spy.write_text(
        "#!/bin/bash\n"
        f"cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>{seen} 2>/dev/null\n"
        'exec redis-cli "$@"\n'
    )
    spy.chmod(0o755)
    tmp_path.chmod(0o755)
    recipe, run = install_redis(redis_server, client=spy), a_run()

    assert scripts.run(recipe.before, environment=run).exit_code == 0
    assert scripts.run(recipe.after, "1", environment=run).exit_code == 0

    assert str(spy).encode() in seen.read_bytes()
    assert redis_server.backup_password.encode() not in seen.read_bytes()


def test_nobody_left_behind_holds_the_outputs_of_before(
    install_redis: Install, ground_sshd: sshd.Sshd, redis_server: redis.Server
) -> None:
    recipe, run = install_redis(redis_server), a_run()
    ground_sshd.cut()  # so that before has to open the shared connection

    # Reads both pipes to their end, so a process that kept one open would make it wait.
    before = subprocess.run(
        [recipe.before],
        env={**scripts.CLEAN, **run},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=LEEWAY,
    )

    assert b"writes are held" in before.stdout
    assert scripts.run(recipe.after, "1", environment=run).exit_code == 0
