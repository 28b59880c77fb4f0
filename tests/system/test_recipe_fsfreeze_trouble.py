"""The fsfreeze recipe when something goes wrong: it never stays frozen, and never says it held when it did not."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.ground import filesystems, fsfreeze, processes, scripts, sshd
from tests.ground.fsfreeze import Writer, is_frozen
from tests.ground.leeway import LEEWAY
from tests.ground.recipes import Install, Recipe
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.fsfreeze_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.lasts(50)]

Volumes = list[filesystems.Volume]


def frozen(volumes: Volumes) -> list[bool]:
    return [is_frozen(volume.mount) for volume in volumes]


def wait_until_thawed(volumes: Volumes, *, seconds: float) -> None:
    processes.wait_until(lambda: not any(frozen(volumes)), seconds=seconds, what="all is thawed")


def holds(recipe: Recipe) -> list[Path]:
    return list(recipe.state.glob("hold.*"))


# --- who dies ---


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_after_thaws_what_a_before_killed_at_any_moment_left(
    fsfreeze_install: Install, volumes: Volumes, writers: list[Writer], seconds: float
) -> None:
    recipe, run = fsfreeze_install(), a_run()
    with scripts.started(recipe.before, environment=run) as before:
        time.sleep(seconds)
        before.kill_group()

    after = scripts.run(recipe.after, "0", environment=run)
    time.sleep(0.5)  # what was on its way arrives late, and must not freeze

    assert after.exit_code == 0, after
    assert frozen(volumes) == [False, False]
    assert (holds(recipe), fsfreeze.auto_thaws(recipe)) == ([], [])
    for writer in writers:
        writer.wait_for(10)


def test_without_after_what_a_killed_before_left_is_thawed_at_the_deadline(
    fsfreeze_install: Install, volumes: Volumes, writers: list[Writer]
) -> None:
    recipe = fsfreeze_install(deadline_seconds="4")
    with scripts.started(recipe.before) as before:
        processes.wait_until(
            lambda: any(recipe.state.glob("hold.*/result.0")),
            seconds=60,
            what="before has begun to freeze",
        )
        before.kill_group()

    wait_until_thawed(volumes, seconds=LEEWAY)

    for writer in writers:
        writer.wait_for(10)
    processes.wait_until(
        lambda: fsfreeze.auto_thaws(recipe) == [], seconds=60, what="the auto-thaw has ended"
    )


def test_the_auto_thaw_ignores_the_signals_that_end_a_session(
    on_this_machine: Install, volumes: Volumes
) -> None:
    recipe = on_this_machine()
    assert scripts.run(recipe.before).exit_code == 0
    (pid,) = fsfreeze.auto_thaws(recipe)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        os.kill(pid, number)
    time.sleep(0.3)

    assert fsfreeze.auto_thaws(recipe) == [pid]
    assert os.getsid(pid) == pid
    assert frozen(volumes) == [True, True]


def test_after_thaws_when_the_auto_thaw_was_killed(
    fsfreeze_install: Install, volumes: Volumes, writers: list[Writer]
) -> None:
    recipe, run = fsfreeze_install(), a_run()
    before = scripts.run(recipe.before, environment=run)
    for pid in fsfreeze.auto_thaws(recipe):
        os.kill(pid, signal.SIGKILL)

    after = scripts.run(recipe.after, "1", environment=run)

    # It was the net, not the freeze: all stood still until now, and that is proven.
    assert after.exit_code == 0, after
    assert [writer.between(before.ended_at, after.started_at) for writer in writers] == [[], []]
    assert frozen(volumes) == [False, False]


def test_the_freeze_outlives_the_connection_and_after_makes_a_new_one(
    fsfreeze_over_ssh: Install, ground_sshd: sshd.Sshd, volumes: Volumes, writers: list[Writer]
) -> None:
    recipe, run = fsfreeze_over_ssh(), a_run()
    before = scripts.run(recipe.before, environment=run)
    ground_sshd.cut()
    time.sleep(0.3)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 0, after
    assert [writer.between(before.ended_at, after.started_at) for writer in writers] == [[], []]
    assert frozen(volumes) == [False, False]


def test_a_cut_connection_and_nobody_who_comes_back_is_thawed_at_the_deadline(
    fsfreeze_over_ssh: Install, ground_sshd: sshd.Sshd, volumes: Volumes
) -> None:
    recipe = fsfreeze_over_ssh(deadline_seconds="3")
    assert scripts.run(recipe.before).exit_code == 0
    ground_sshd.cut()
    assert frozen(volumes) == [True, True]

    wait_until_thawed(volumes, seconds=LEEWAY)


def test_the_freeze_outlives_the_group_of_before(
    fsfreeze_install: Install, volumes: Volumes
) -> None:
    # A thaw in the place of a dead guard ends before's group first.
    recipe, run = fsfreeze_install(), a_run()
    with scripts.started(recipe.before, environment=run) as at_work:
        assert at_work.result(30).exit_code == 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(at_work.process.pid, signal.SIGKILL)

    assert scripts.run(recipe.after, "1", environment=run).exit_code == 0
    assert frozen(volumes) == [False, False]


# --- the freeze did not hold ---


def test_after_the_deadline_after_says_that_it_did_not_hold_and_a_second_attempt_succeeds(
    fsfreeze_install: Install, volumes: Volumes, writers: list[Writer]
) -> None:
    recipe, run = fsfreeze_install(deadline_seconds="2"), a_run()
    del run["N2W_SECONDS_LEFT"]
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    wait_until_thawed(volumes, seconds=LEEWAY)

    first = scripts.run(recipe.after, "1", environment=run)
    second = scripts.run(recipe.after, "1", environment={**run, "N2W_ATTEMPT": "2"})

    assert (first.exit_code, second.exit_code) == (1, 0), (first, second)
    assert "NOT frozen until now (the auto-thaw was quicker)" in first.stderr
    for writer in writers:
        writer.wait_for(10)


@pytest.mark.parametrize("again", [False, True], ids=["thawed", "thawed and frozen again"])
@pytest.mark.parametrize("which", [0, 1], ids=["xfs", "ext4"])
def test_after_fails_when_somebody_thawed_meanwhile_and_thaws_all_the_same(
    on_this_machine: Install, volumes: Volumes, which: int, again: bool
) -> None:
    recipe, run = on_this_machine(), a_run()
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    fsfreeze.thaw(volumes[which].mount)
    if again:
        (volumes[which].mount / "between").write_text("not in the snapshot's moment")
        fsfreeze.freeze(volumes[which].mount)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1, after
    assert f"{volumes[which].mount} was" in after.stderr
    assert frozen(volumes) == [False, False]
    complete = scripts.run(recipe.complete, "0", environment=run)
    assert (complete.exit_code, "no proven freeze" in complete.stdout) == (0, True)


def test_a_lost_state_folder_is_not_vouched_for_and_all_is_thawed(
    fsfreeze_install: Install, volumes: Volumes, writers: list[Writer]
) -> None:
    recipe, run = fsfreeze_install(), a_run()
    assert scripts.run(recipe.before, environment=run).exit_code == 0
    shutil.rmtree(recipe.state)

    after = scripts.run(recipe.after, "1", environment=run)

    assert after.exit_code == 1, after
    assert "its record is lost" in after.stderr
    assert frozen(volumes) == [False, False]
    for writer in writers:
        writer.wait_for(10)


def test_the_auto_thaw_thaws_at_once_when_the_state_folder_is_lost(
    on_this_machine: Install, volumes: Volumes
) -> None:
    recipe = on_this_machine(deadline_seconds="600")
    assert scripts.run(recipe.before).exit_code == 0
    shutil.rmtree(recipe.state)

    wait_until_thawed(volumes, seconds=LEEWAY)


def test_nothing_frozen_is_success_when_before_failed_and_failure_when_it_did_not(
    fsfreeze_install: Install,
) -> None:
    recipe = fsfreeze_install()

    assert scripts.run(recipe.after, "0", environment=a_run()).exit_code == 0
    assert scripts.run(recipe.after, "1", environment=a_run()).exit_code == 1
    assert scripts.run(recipe.after, "1", environment=a_run(N2W_ATTEMPT="2")).exit_code == 0


def test_after_repeated_says_again_what_it_said(
    fsfreeze_install: Install, volumes: Volumes
) -> None:
    recipe, run = fsfreeze_install(), a_run()
    scripts.run(recipe.before, environment=run)

    said = [scripts.run(recipe.after, "1", environment=run) for _ in range(2)]

    assert [each.exit_code for each in said] == [0, 0]
    assert said[0].stdout == said[1].stdout
    assert frozen(volumes) == [False, False]


def test_by_hand_it_works_again_and_again_without_any_variable_of_a_run(
    fsfreeze_install: Install, volumes: Volumes
) -> None:
    recipe = fsfreeze_install()
    for _ in range(2):
        assert scripts.run(recipe.before).exit_code == 0
        assert frozen(volumes) == [True, True]
        assert scripts.run(recipe.after, "1").exit_code == 0
        assert frozen(volumes) == [False, False]


def test_what_an_earlier_run_left_frozen_is_thawed_first_and_its_after_does_not_vouch(
    fsfreeze_install: Install, volumes: Volumes
) -> None:
    recipe, earlier, later = fsfreeze_install(), a_run(), a_run()
    scripts.run(recipe.before, environment=earlier)

    before = scripts.run(recipe.before, environment=later)
    assert before.exit_code == 0, before
    assert "an earlier run left file systems frozen" in before.stderr
    assert (len(holds(recipe)), len(fsfreeze.auto_thaws(recipe))) == (1, 1)

    assert scripts.run(recipe.after, "1", environment=earlier).exit_code == 1
    assert frozen(volumes) == [False, False]


def test_before_is_refused_to_a_run_that_has_ended(
    fsfreeze_install: Install, volumes: Volumes
) -> None:
    recipe, run = fsfreeze_install(), a_run()
    scripts.run(recipe.after, "0", environment=run)

    before = scripts.run(recipe.before, environment=run)

    assert before.exit_code == 1
    assert "has ended already" in before.stderr
    assert frozen(volumes) == [False, False]


# --- not all can be frozen ---


def test_when_the_second_is_frozen_by_somebody_else_the_first_is_thawed_and_the_second_left_alone(
    fsfreeze_install: Install, volumes: Volumes
) -> None:
    recipe, run = fsfreeze_install(), a_run()
    fsfreeze.freeze(volumes[1].mount)

    before = scripts.run(recipe.before, environment=run)
    after = scripts.run(recipe.after, "0", environment=run)

    assert (before.exit_code, after.exit_code) == (1, 0), (before, after)
    assert "is frozen already by somebody else, and is left so: nothing is frozen" in before.stderr
    assert frozen(volumes) == [False, True]
    assert (holds(recipe), fsfreeze.auto_thaws(recipe)) == ([], [])


def test_nothing_is_frozen_when_the_memory_of_the_state_folder_is_full_at_any_moment(
    on_this_machine: Install, ground_folder: Path, volumes: Volumes
) -> None:
    state = ground_folder / "small"
    state.mkdir()
    codes = []
    for inodes in (2, 4, 6, 8, 10, 11, 12, 13, 14, 16, 20):
        options = f"size=64k,nr_inodes={inodes},mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", state], check=True)
        try:
            recipe = on_this_machine(state_folder=state)
            before = scripts.run(recipe.before, environment=a_run())
            codes.append(before.exit_code)
            assert frozen(volumes) == [before.exit_code == 0] * 2, before
            assert before.exit_code == 0 or "nothing is frozen" in before.stderr, before
            if before.exit_code == 0:
                scripts.run(recipe.after, "0")
        finally:
            subprocess.run(["umount", "--lazy", state], check=True)
    assert (codes[0], codes[-1]) == (2, 0)
    assert 0 not in codes[:5]
