"""The MariaDB recipe when something goes wrong: it never stays locked, and never says it was."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.ground import ledger, mariadb, processes, recipes, scripts, sshd
from tests.ground.leeway import LEEWAY
from tests.ground.recipes import Install
from tests.system.recipe_runs import a_run, is_free, wait_until_free

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = [pytest.mark.real, pytest.mark.lasts(60)]

RIVALS = {"backup-stage": "BACKUP STAGE START", "read-lock": "LOCK TABLES shop.ledger WRITE"}


def test_after_fails_when_the_lock_was_lost_and_a_second_attempt_succeeds(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe, run = install(), a_run()
    database.sql("FLUSH BINARY LOGS")
    logs = database.binary_logs()
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    (session,) = database.sessions_of_backup_user()
    database.sql(f"KILL {session}")
    writer.wait_for(10)

    first = scripts.run(recipe.after, "1", environment=run)
    assert first.exit_code == 1
    assert "NOT held" in first.stderr
    assert is_free(database)

    second = scripts.run(recipe.after, "1", environment={**run, "N2W_ATTEMPT": "2"})
    assert second.exit_code == 0
    # An unproven lock leaves no position behind, so nothing can be purged by it.
    assert scripts.run(recipe.complete, "1", environment=run).exit_code == 1
    assert database.binary_logs() == logs


def test_after_releases_a_lock_whose_client_is_stopped_and_does_not_vouch_for_it(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe, run = install(), a_run()
    scripts.run(recipe.before, environment=run)
    holder = int((recipe.state / "hold").read_text().split()[0])
    os.killpg(holder, signal.SIGSTOP)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1, after
    assert is_free(database)
    writer.wait_for(10)


def test_nothing_locked_is_success_when_before_failed_and_failure_when_it_did_not(
    install: Install, database: mariadb.Server
) -> None:
    recipe = install()

    assert scripts.run(recipe.after, "0", environment=a_run()).exit_code == 0
    assert scripts.run(recipe.after, "1", environment=a_run()).exit_code == 1
    assert scripts.run(recipe.after, "1", environment=a_run(N2W_ATTEMPT="2")).exit_code == 0


def test_after_with_argument_0_releases_a_held_lock(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe, run = install(), a_run()
    scripts.run(recipe.before, environment=run)

    assert scripts.run(recipe.after, "0", environment=run).exit_code == 0
    assert is_free(database)
    writer.wait_for(10)


def test_after_repeated_says_again_what_it_said(install: Install, database: mariadb.Server) -> None:
    recipe, run = install(), a_run()
    scripts.run(recipe.before, environment=run)

    codes = [scripts.run(recipe.after, "1", environment=run).exit_code for _ in range(2)]

    assert codes == [0, 0]
    assert scripts.run(recipe.complete, "1", environment=run).exit_code == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["client alive", "client stopped"])
def test_the_deadline_alone_releases_the_lock(
    install: Install, database: mariadb.Server, writer: ledger.Writer, stopped: bool
) -> None:
    # With the client stopped, as on a machine that is cut off, the server does it by itself.
    recipe = install(deadline_seconds="3")
    before = scripts.run(recipe.before)
    assert before.exit_code == 0
    if stopped:
        os.killpg(int((recipe.state / "hold").read_text().split()[0]), signal.SIGSTOP)

    wait_until_free(database, seconds=3 + LEEWAY)
    writer.wait_for(10)

    assert writer.between(before.ended_at, datetime.now(UTC))[0].at > before.ended_at
    assert scripts.run(recipe.after, "1").exit_code == 1


def test_the_deadline_of_a_run_is_what_is_left_of_its_freeze_time_and_a_margin(
    install: Install, database: mariadb.Server
) -> None:
    recipe = install()

    before = scripts.run(recipe.before, environment=a_run(N2W_SECONDS_LEFT="41.7"))

    assert "56 s" in before.stdout


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.1, 0.2, 0.4])
def test_after_frees_what_a_before_killed_at_any_moment_left(
    install: Install, database: mariadb.Server, writer: ledger.Writer, seconds: float
) -> None:
    recipe, run = install(), a_run()
    with scripts.started(recipe.before, environment=run) as before:
        time.sleep(seconds)
        before.kill_group()

    first = scripts.run(recipe.after, "0", environment=run)
    time.sleep(0.5)  # what was on its way arrives late, and must not lock
    assert first.exit_code == 0, first
    assert is_free(database)
    writer.wait_for(10)


@contextlib.contextmanager
def rival(database: mariadb.Server, method: str) -> Iterator[None]:
    """Somebody else holds what the method needs."""
    session = subprocess.Popen(
        database.client("-e", f"{RIVALS[method]}; SELECT SLEEP(60)"), stdout=subprocess.DEVNULL
    )
    try:
        processes.wait_until(
            lambda: any(state == "User sleep" for _, state in sessions(database, "root")),
            seconds=60,
            what="the rival holds it",
        )
        yield
        assert session.poll() is None
    finally:
        # The server notices only after seconds that the client of a sleeping statement has gone.
        for number, state in sessions(database, "root"):
            if state == "User sleep":
                database.sql(f"KILL {number}")
        session.wait()


def sessions(database: mariadb.Server, user: str) -> list[tuple[str, str]]:
    """Number and state of each of the user's sessions."""
    rows = database.sql("SELECT id, state, user FROM information_schema.processlist")
    return [(number, state) for number, state, owner in rows if owner == user]


def is_waiting(database: mariadb.Server) -> bool:
    return any("aiting" in state for _, state in sessions(database, mariadb.BACKUP_USER))


@pytest.mark.parametrize("method", RIVALS)
def test_a_before_killed_while_it_waits_for_the_lock_does_not_lock_later(
    install: Install, database: mariadb.Server, writer: ledger.Writer, method: str
) -> None:
    recipe, run = install(method=method), a_run()
    with rival(database, method), scripts.started(recipe.before, environment=run) as before:
        processes.wait_until(
            lambda: is_waiting(database), seconds=60, what="before waits for the lock"
        )
        before.kill_group()
        after = scripts.run(recipe.after, "0", environment=run)
        assert after.exit_code == 0, after
    time.sleep(0.5)
    assert is_free(database)
    writer.wait_for(10)


def test_without_after_what_a_killed_before_left_ends_at_the_deadline(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe = install(deadline_seconds="3")
    started_at = time.monotonic()
    with scripts.started(recipe.before) as before:
        processes.wait_until(
            lambda: not is_free(database), seconds=60, what="before has opened its session"
        )
        before.kill_group()

    wait_until_free(database, seconds=60 - (time.monotonic() - started_at))
    writer.wait_for(10)


def test_before_gives_up_after_short_tries_and_nothing_is_locked(
    client_on_server: Install, database: mariadb.Server
) -> None:
    recipe = client_on_server(method="read-lock")
    with rival(database, "read-lock"):
        before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1, before
    assert "3 times the lock was not to be had" in before.stderr
    assert is_free(database)


def test_a_lock_left_by_an_earlier_run_is_ended_first_and_its_after_does_not_vouch_for_it(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe, earlier, later = install(), a_run(), a_run()
    scripts.run(recipe.before, environment=earlier)

    before = scripts.run(recipe.before, environment=later)
    assert before.exit_code == 0, before
    assert "an earlier run left a session" in before.stderr
    assert len(database.sessions_of_backup_user()) == 1

    assert scripts.run(recipe.after, "1", environment=earlier).exit_code == 1
    assert is_free(database)


def test_before_is_refused_to_a_run_that_has_ended(
    install: Install, database: mariadb.Server
) -> None:
    recipe, run = install(), a_run()
    scripts.run(recipe.after, "0", environment=run)

    before = scripts.run(recipe.before, environment=run)

    assert before.exit_code == 1
    assert "has ended already" in before.stderr
    assert is_free(database)


def test_the_lock_outlives_the_connection_and_after_makes_a_new_one(
    over_ssh: Install, ground_sshd: sshd.Sshd, database: mariadb.Server, writer: ledger.Writer
) -> None:
    recipe, run = over_ssh(), a_run()
    before = scripts.run(recipe.before, environment=run)
    ground_sshd.cut()
    time.sleep(0.3)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 0, after
    assert writer.between(before.ended_at, after.started_at) == []


def test_the_lock_outlives_the_group_of_before(
    install: Install, database: mariadb.Server, writer: ledger.Writer
) -> None:
    # A thaw in the place of a dead guard ends before's group first.
    recipe, run = install(), a_run()
    with scripts.started(recipe.before, environment=run) as at_work:
        before = at_work.result(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(at_work.process.pid, signal.SIGKILL)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 0, after
    assert writer.between(before.ended_at, after.started_at) == []


def test_a_server_that_died_while_locked_and_came_back_is_not_vouched_for(
    ground_folder: Path,
) -> None:
    with mariadb.running(ground_folder / "mortal") as server:
        recipe = recipes.mariadb_client_on_server(ground_folder / "mortal-scripts", server)
        run = a_run()
        assert scripts.run(recipe.before, environment=run).exit_code == 0
        server.process.kill()
        server.process.wait()
    while_down = scripts.run(recipe.after, "1", environment=run)
    with mariadb.running(
        server.folder, data=server.data, backup_password=server.backup_password
    ) as again:
        again.option_file(recipe.state.parent / "client.cnf", tcp=True)
        after = scripts.run(recipe.after, "1", environment=run)
        assert is_free(again)

    assert while_down.exit_code == 3
    assert after.exit_code == 1, after


# --- set-up and secrets ---


def test_a_wrong_password_is_said_and_nothing_is_locked(
    install: Install, database: mariadb.Server
) -> None:
    recipe = install()
    options = recipe.state.parent / "client.cnf"
    options.write_text(options.read_text().replace(database.backup_password, "swordfish"))

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1
    assert "Access denied" in before.stderr
    assert "swordfish" not in before.stderr + before.stdout


def test_an_option_file_that_others_can_read_is_refused(
    install: Install, database: mariadb.Server
) -> None:
    recipe = install()
    (recipe.state.parent / "client.cnf").chmod(0o644)

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 2
    assert "chmod 600" in before.stderr
    assert is_free(database)


@pytest.mark.parametrize("trouble", ["nobody listens", "another host key"])
def test_a_host_that_is_not_reached_or_not_known_is_said(
    ground_folder: Path, over_ssh: Install, ground_sshd: sshd.Sshd, trouble: str
) -> None:
    config = ground_folder / "changed_config"
    known_hosts = ground_folder / "changed_hosts"
    known_hosts.write_text(ground_sshd.known_hosts.read_text().replace("AAAA", "AAAB"))
    changes = {
        "nobody listens": (str(ground_sshd.port), str(processes.free_port())),
        "another host key": (str(ground_sshd.known_hosts), str(known_hosts)),
    }
    config.write_text(ground_sshd.config.read_text().replace(*changes[trouble]))
    recipe = over_ssh(ssh_config=config)
    ground_sshd.cut()  # the connection of an earlier test is known by host and port alone

    before = scripts.run(recipe.before, environment=a_run())
    after = scripts.run(recipe.after, "0", environment=a_run())

    assert before.exit_code == 1
    assert "no connection to instance1: nothing is locked" in before.stderr
    assert after.exit_code == 3
    assert "it is not known whether something is locked" in after.stderr


def test_the_password_is_on_no_command_line_and_in_no_environment(
    install: Install, database: mariadb.Server
) -> None:
    recipe, run = install(), a_run()
    scripts.run(recipe.before, environment=run)
    seen = [
        path.read_bytes()
        for pid in Path("/proc").glob("[0-9]*")
        for path in (pid / "cmdline", pid / "environ")
        if is_readable(path)
    ]
    scripts.run(recipe.after, "1", environment=run)

    assert any(b"--defaults-file=" in each for each in seen)
    assert not any(database.backup_password.encode() in each for each in seen)


def is_readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_nobody_left_behind_holds_the_outputs_of_before(
    install: Install, ground_sshd: sshd.Sshd, database: mariadb.Server
) -> None:
    recipe, run = install(), a_run()
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

    assert b"commits are locked" in before.stdout
    assert scripts.run(recipe.after, "1", environment=run).exit_code == 0


def test_the_readme_grants_what_the_tests_grant() -> None:
    readme = (recipes.RECIPES / "mariadb" / "README.md").read_text()

    assert f"GRANT {', '.join(mariadb.BACKUP_PRIVILEGES)} ON *.* TO" in readme
