"""The generic recipe when something goes wrong: it never stays frozen, and it never says it was."""

import contextlib
import os
import shutil
import signal
import time

import pytest

from tests.ground import application, processes, recipes, scripts
from tests.ground.application import Application, Install
from tests.ground.leeway import LEEWAY
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.application_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.lasts(50)]


def watcher(recipe: recipes.Recipe) -> int:
    return int((recipe.state / "armed").read_text().split()[0])


# --- before undoes what it began ---


def test_an_application_that_does_not_stop_is_thawed_again_and_before_fails(
    install_app: Install, app: Application
) -> None:
    recipe = install_app(freeze_wait_seconds="1")
    app.is_deaf = True

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1
    assert "did not stop within 1 s: it is not frozen" in before.stderr
    assert not app.is_ordered_to_stop
    assert not (recipe.state / "armed").exists()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("freeze", 'touch "$maintenance_file"; exit 1'),
        ("write_out", "[[ ! -e $maintenance_file ]]"),
    ],
)
def test_a_hook_that_fails_after_the_freeze_is_undone(
    install_app: Install, app: Application, name: str, body: str
) -> None:
    recipe = install_app()
    application.replace_hook(recipe, name, body)

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1
    assert "it is not frozen" in before.stderr
    assert not app.is_ordered_to_stop
    app.wait_for(10)


def test_a_before_that_is_told_to_end_undoes_what_it_began(
    install_app: Install, app: Application
) -> None:
    recipe = install_app()
    app.is_deaf = True
    with scripts.started(recipe.before, environment=a_run()) as before:
        processes.wait_until(
            lambda: app.is_ordered_to_stop, seconds=60, what="before orders the freeze"
        )
        os.killpg(before.process.pid, signal.SIGTERM)
        result = before.result(LEEWAY)

    assert result.exit_code == 1
    assert not app.is_ordered_to_stop


def test_nothing_is_frozen_when_the_auto_thaw_cannot_be_armed(
    install_app: Install, app: Application
) -> None:
    recipe = install_app()
    application.replace_hook(
        recipe, "freeze", 'touch "$maintenance_file" && kill -KILL $(cut -d" " -f1 armed)'
    )

    before = scripts.run(recipe.before, environment=a_run())

    assert before.exit_code == 1
    assert "the auto-thaw has gone: it is not frozen" in before.stderr
    assert not app.is_ordered_to_stop


# --- it never stays frozen ---


@pytest.mark.parametrize("memory_too", [False, True])
def test_the_deadline_thaws_though_the_scripts_are_gone(
    install_app: Install, app: Application, memory_too: bool
) -> None:
    recipe = install_app(deadline_seconds="3")
    assert scripts.run(recipe.before).exit_code == 0
    shutil.rmtree(recipe.folder)
    if memory_too:
        shutil.rmtree(recipe.state)

    processes.wait_until(lambda: not app.is_ordered_to_stop, seconds=60, what="the auto-thaw thaws")
    app.wait_for(10)


def test_after_fails_when_the_deadline_has_thawed_and_a_second_attempt_succeeds(
    install_app: Install, app: Application
) -> None:
    recipe, run = install_app(), a_run(N2W_SECONDS_LEFT="-")
    recipe_conf = recipe.folder / "application.conf"
    recipe_conf.write_text(recipe_conf.read_text() + "deadline_seconds=3\n")
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    app.wait_for(10)

    first = scripts.run(recipe.after, "1", environment=run)
    second = scripts.run(recipe.after, "1", environment={**run, "N2W_ATTEMPT": "2"})
    complete = scripts.run(recipe.complete, "1", environment=run)

    assert (first.exit_code, second.exit_code, complete.exit_code) == (1, 0, 1)
    assert "the auto-thaw did not wait" in first.stderr


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.1, 0.2])
def test_after_thaws_what_a_before_killed_at_any_moment_left(
    install_app: Install, app: Application, seconds: float
) -> None:
    recipe, run = install_app(), a_run()
    with scripts.started(recipe.before, environment=run) as before:
        time.sleep(seconds)
        before.kill_group()

    after = scripts.run(recipe.after, "0", environment=run)

    assert after.exit_code == 0, after
    assert not app.is_ordered_to_stop
    app.wait_for(10)


def test_without_after_a_before_killed_in_the_middle_is_thawed_at_the_deadline(
    install_app: Install, app: Application
) -> None:
    recipe = install_app(deadline_seconds="3")
    app.is_deaf = True
    with scripts.started(recipe.before) as before:
        processes.wait_until(
            lambda: app.is_ordered_to_stop, seconds=60, what="before orders the freeze"
        )
        before.kill_group()

    processes.wait_until(lambda: not app.is_ordered_to_stop, seconds=60, what="the auto-thaw thaws")


def test_a_before_that_hangs_past_the_deadline_is_ended_and_cannot_freeze_late(
    install_app: Install, app: Application
) -> None:
    recipe = install_app(deadline_seconds="1")
    application.replace_hook(recipe, "freeze", 'sleep 3; touch "$maintenance_file"')

    before = scripts.run(recipe.before)
    time.sleep(3)

    assert before.exit_code == -signal.SIGKILL
    assert not app.is_ordered_to_stop


def test_a_thaw_that_fails_is_said_and_tried_again(install_app: Install, app: Application) -> None:
    recipe, run = install_app(), a_run()
    obstacle = recipe.folder / "obstacle"
    application.replace_hook(recipe, "thaw", f'[[ ! -e {obstacle} ]] && rm -f "$maintenance_file"')
    scripts.run(recipe.before, environment=run)
    obstacle.touch()

    first = scripts.run(recipe.after, "1", environment=run)
    assert first.exit_code == 3
    assert "could not be thawed" in first.stderr
    assert watcher(recipe)
    obstacle.unlink()
    second = scripts.run(recipe.after, "1", environment={**run, "N2W_ATTEMPT": "2"})

    assert second.exit_code == 0, second
    app.wait_for(10)


def test_an_is_frozen_that_hangs_delays_no_thaw_and_proves_nothing(
    install_app: Install, app: Application
) -> None:
    recipe, run = install_app(), a_run()
    scripts.run(recipe.before, environment=run)
    application.replace_hook(recipe, "is_frozen", "sleep 20")

    after = scripts.run(recipe.after, "1", environment=run, seconds=15)

    assert after.exit_code == 1
    assert "it was not frozen all the time" in after.stderr
    app.wait_for(10)


# --- the proof ---


def test_a_thaw_in_between_is_noticed_though_it_was_frozen_again(
    install_app: Install, app: Application
) -> None:
    recipe, run = install_app(), a_run()
    scripts.run(recipe.before, environment=run)
    app.maintenance.unlink()
    processes.wait_until((recipe.state / "lost").exists, seconds=60, what="the watcher notices")
    app.maintenance.touch()
    processes.wait_until(app.stopped.exists, seconds=60, what="it stops again")

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1
    assert "it was not frozen all the time" in after.stderr
    app.wait_for(10)


def test_a_freeze_whose_auto_thaw_died_is_not_vouched_for(
    install_app: Install, app: Application
) -> None:
    recipe, run = install_app(), a_run()
    scripts.run(recipe.before, environment=run)
    os.killpg(watcher(recipe), signal.SIGKILL)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1
    app.wait_for(10)


def test_nothing_frozen_is_success_when_before_failed_and_failure_when_it_did_not(
    install_app: Install, app: Application
) -> None:
    recipe = install_app()

    assert scripts.run(recipe.after, "0", environment=a_run()).exit_code == 0
    assert scripts.run(recipe.after, "1", environment=a_run()).exit_code == 1
    assert scripts.run(recipe.after, "1", environment=a_run(N2W_ATTEMPT="2")).exit_code == 0


def test_after_thaws_what_outlived_a_restart_of_the_machine(
    install_app: Install, app: Application
) -> None:
    recipe, run = install_app(), a_run()
    scripts.run(recipe.before, environment=run)
    os.killpg(watcher(recipe), signal.SIGKILL)
    shutil.rmtree(recipe.state)

    assert scripts.run(recipe.after, "0", environment=run).exit_code == 0
    app.wait_for(10)


def test_after_repeated_says_again_what_it_said_and_the_group_of_before_does_not_matter(
    install_app: Install, app: Application
) -> None:
    recipe, run = install_app(), a_run()
    with scripts.started(recipe.before, environment=run) as at_work:
        assert at_work.result(30).exit_code == 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(at_work.process.pid, signal.SIGKILL)

    first, second = (scripts.run(recipe.after, "1", environment=run) for _ in range(2))

    assert (first.exit_code, second.exit_code) == (0, 0), (first, second)
    assert first.stdout == second.stdout


def test_a_freeze_of_an_earlier_run_is_ended_first_and_neither_vouches_for_the_other(
    install_app: Install, app: Application
) -> None:
    recipe, earlier, later = install_app(), a_run(), a_run()
    scripts.run(recipe.before, environment=earlier)

    before = scripts.run(recipe.before, environment=later)
    assert before.exit_code == 0, before
    assert "an earlier run left it frozen" in before.stderr

    assert scripts.run(recipe.after, "1", environment=earlier).exit_code == 1
    app.wait_for(10)
    assert scripts.run(recipe.after, "1", environment=later).exit_code == 1
