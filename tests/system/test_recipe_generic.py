"""The generic recipe as it is delivered, around an application that honours a maintenance file."""

import subprocess
from pathlib import Path

import pytest

from tests.ground import application, filesystems, scripts
from tests.ground.application import Application, Install
from tests.ground.leeway import LEEWAY
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.application_fixtures")
pytestmark = pytest.mark.real


def test_nothing_is_written_in_the_window_and_the_application_goes_on_from_a_copy_of_the_disk(
    install_app: Install,
    app: Application,
    ground_folder: Path,
    disks: filesystems.Volume,
    app_volume: filesystems.Volume,
) -> None:
    recipe, run = install_app(), a_run()
    app.wait_for(100)

    before = scripts.run(recipe.before, environment=run)
    frozen_at = app.last
    # Unlike a copy of files, it lacks what is in the page cache only, as an EBS snapshot does.
    image = app_volume.clone_image(disks.mount / "app-snapshot.img")
    after = scripts.run(recipe.after, "1", environment=run)
    app.wait_for(50)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert app.between(before.ended_at, after.started_at) == []
    assert "is frozen; without after it is thawed 75 s after" in before.stdout
    assert "was frozen for" in after.stdout
    with filesystems.mounted(image, ground_folder / "restored", options=["nouuid"]) as restored:
        data = restored.mount / app.data.name
        assert application.last_number(data / application.LEDGER) == frozen_at
        with Application(data, ground_folder / "restored-run") as copy:
            assert copy.writes[0].number == frozen_at + 1
    image.unlink()


def test_by_hand_it_works_without_any_variable_of_a_run(
    install_app: Install, app: Application
) -> None:
    recipe = install_app()
    for _ in range(2):
        before = scripts.run(recipe.before)
        after = scripts.run(recipe.after, "1")
        complete = scripts.run(recipe.complete, "1")

        assert (before.exit_code, after.exit_code, complete.exit_code) == (0, 0, 0), (before, after)
        assert app.between(before.ended_at, after.started_at) == []


def test_complete_cleans_up_only_with_1_and_after_a_proven_freeze(
    install_app: Install, app: Application
) -> None:
    recipe, run = install_app(), a_run()
    application.replace_hook(recipe, "clean_up", "echo swept")
    unproven = scripts.run(recipe.complete, "1", environment=run)
    scripts.run(recipe.before, environment=run)
    scripts.run(recipe.after, "1", environment=run)

    failed = scripts.run(recipe.complete, "0", environment=run)
    done = scripts.run(recipe.complete, "1", environment=run)
    wrong = scripts.run(recipe.complete, environment=run)

    assert (unproven.exit_code, failed.exit_code, done.exit_code, wrong.exit_code) == (1, 0, 0, 2)
    assert [("swept" in each.stdout) for each in (unproven, failed, done, wrong)] == [
        *(False, False, True, False)
    ]


def test_before_is_refused_to_a_run_that_has_ended(install_app: Install, app: Application) -> None:
    recipe, run = install_app(), a_run()
    scripts.run(recipe.after, "0", environment=run)

    before = scripts.run(recipe.before, environment=run)

    assert before.exit_code == 1
    assert "has ended already" in before.stderr
    assert not app.is_ordered_to_stop


def test_a_wrong_setting_is_refused_and_nothing_is_touched(
    install_app: Install, app: Application
) -> None:
    before = scripts.run(install_app(deadline_seconds="soon").before)

    assert before.exit_code == 2
    assert "deadline_seconds must be a number, not 'soon'" in before.stderr
    assert not app.is_ordered_to_stop


def test_nobody_left_behind_holds_the_outputs_of_before(
    install_app: Install, app: Application
) -> None:
    recipe = install_app()

    # Reads both pipes to their end, so a process that kept one open would make it wait.
    before = subprocess.run(
        [recipe.before],
        env=scripts.CLEAN,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=LEEWAY,
    )

    assert b"is frozen" in before.stdout
    assert scripts.run(recipe.after, "1").exit_code == 0


def test_an_application_may_have_a_folder_of_its_own_in_the_scripts_folder(
    install_app: Install, app: Application
) -> None:
    recipe = install_app()
    own = recipe.folder / "shop"
    own.mkdir()
    for name in ("application.conf", "application.sh", "window.sh"):
        (recipe.folder / name).rename(own / name)
    for script in (recipe.before, recipe.after, recipe.complete):
        script.write_text(script.read_text().replace("$folder/window.sh", "$folder/shop/window.sh"))

    codes = [
        scripts.run(script, *arguments).exit_code
        for script, *arguments in ((recipe.before,), (recipe.after, "1"), (recipe.complete, "1"))
    ]

    assert codes == [0, 0, 0]
    app.wait_for(10)
