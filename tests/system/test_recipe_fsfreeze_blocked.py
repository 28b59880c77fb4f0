"""The fsfreeze recipe on a disk that hangs: it waits shortly, thaws the others, and thaws what freezes late.

The disk hangs because it is a file on another file system, which somebody froze.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ground import components, filesystems, fsfreeze, processes, scripts
from tests.ground.fsfreeze import is_frozen
from tests.ground.recipes import RECIPES, Install, Recipe
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.fsfreeze_fixtures")
pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Hanging:
    """A volume whose disk hangs while `below` is frozen, and a healthy one."""

    volume: filesystems.Volume
    below: filesystems.Volume
    healthy: filesystems.Volume

    @property
    def mounts(self) -> list[Path]:
        return [self.healthy.mount, self.volume.mount]


@pytest.fixture
def hanging(ground_folder: Path, xfs_volume: filesystems.Volume) -> Iterator[Hanging]:
    with (
        filesystems.ext4(ground_folder, name="below", megabytes=200) as below,
        filesystems.ext4(below.mount, name="above", megabytes=100) as above,
    ):
        try:
            sync(above.mount)
            sync(below.mount)
            yield Hanging(above, below, xfs_volume)
        finally:
            for volume in (below, above, xfs_volume):
                fsfreeze.thaw(volume.mount)


def sync(mount: Path) -> None:
    subprocess.run([components.program("sync"), "--file-system", mount], check=True, timeout=20)


def wait_until_all_is_thawed(hanging: Hanging, recipe: Recipe) -> None:
    processes.wait_until(
        lambda: fsfreeze.auto_thaws(recipe) == [], seconds=60, what="the auto-thaw has ended"
    )
    assert [is_frozen(mount) for mount in hanging.mounts] == [False, False]


def test_a_freeze_that_hangs_is_given_up_the_others_are_thawed_and_it_is_thawed_when_it_comes(
    on_this_machine: Install, hanging: Hanging
) -> None:
    recipe, run = on_this_machine(mounts=hanging.mounts, freeze_seconds="1"), a_run()
    fsfreeze.freeze(hanging.below.mount)

    before = scripts.run(recipe.before, environment=run)
    healthy_is_frozen = is_frozen(hanging.healthy.mount)
    after = scripts.run(recipe.after, "0", environment=run)
    fsfreeze.thaw(
        hanging.below.mount
    )  # now the freeze succeeds, but nobody waits for it any longer
    wait_until_all_is_thawed(hanging, recipe)
    again = scripts.run(recipe.after, "0", environment={**run, "N2W_ATTEMPT": "2"})

    assert (before.exit_code, after.exit_code, again.exit_code) == (3, 3, 0), (before, after, again)
    assert "no answer within 1 s" in before.stderr
    assert f"{hanging.volume.mount} may still freeze" in after.stderr
    assert not healthy_is_frozen


def test_before_killed_while_a_freeze_hangs_leaves_all_to_the_auto_thaw(
    on_this_machine: Install, hanging: Hanging
) -> None:
    recipe = on_this_machine(mounts=hanging.mounts, deadline_seconds="3")
    fsfreeze.freeze(hanging.below.mount)
    with scripts.started(recipe.before) as before:
        processes.wait_until(
            lambda: any(recipe.state.glob("hold.*/freezer.1")), seconds=60, what="it hangs"
        )
        before.kill_group()
    assert is_frozen(hanging.healthy.mount)

    processes.wait_until(
        lambda: not is_frozen(hanging.healthy.mount), seconds=60, what="the healthy one is thawed"
    )
    fsfreeze.thaw(hanging.below.mount)

    wait_until_all_is_thawed(hanging, recipe)


def test_what_cannot_be_written_out_in_time_is_not_frozen(
    on_this_machine: Install, hanging: Hanging
) -> None:
    recipe, run = on_this_machine(mounts=hanging.mounts, write_out_seconds="1"), a_run()
    fsfreeze.freeze(hanging.below.mount)
    (hanging.volume.mount / "much").write_bytes(b"x" * 1_000_000)

    before = scripts.run(recipe.before, environment=run)
    after = scripts.run(recipe.after, "0", environment=run)
    healthy_is_frozen = is_frozen(hanging.healthy.mount)
    fsfreeze.thaw(hanging.below.mount)

    assert (before.exit_code, after.exit_code) == (1, 0), (before, after)
    assert "could not be written out within 1 s" in before.stderr
    assert not healthy_is_frozen


def test_after_ends_a_before_that_is_still_at_work_on_the_instance_though_its_caller_is_dead(
    fsfreeze_over_ssh: Install, hanging: Hanging
) -> None:
    recipe, run = fsfreeze_over_ssh(mounts=hanging.mounts, write_out_seconds="20"), a_run()
    fsfreeze.freeze(hanging.below.mount)
    (hanging.volume.mount / "much").write_bytes(b"x" * 1_000_000)
    with scripts.started(recipe.before, environment=run) as before:
        processes.wait_until(
            (recipe.state / f"run.{run['N2W_RUN_ID']}").exists,
            seconds=60,
            what="before is at work over there",
        )
        before.kill_group()
    far_side = Path("/proc") / (recipe.state / "turn").read_text().split()[0]
    assert far_side.exists()

    after = scripts.run(recipe.after, "0", environment=run)
    fsfreeze.thaw(hanging.below.mount)

    assert after.exit_code == 0, after
    assert not far_side.exists()
    assert not is_frozen(hanging.healthy.mount)


@pytest.mark.parametrize("is_open", [True, False], ids=["open hold", "closed hold"])
def test_a_freeze_that_was_begun_late_does_not_freeze_for_a_hold_that_is_closed(
    tmp_path: Path, xfs_volume: filesystems.Volume, is_open: bool
) -> None:
    if is_open:
        (tmp_path / "open").touch()
    command = '. "$0"; fsfreeze=$1; freezer "$2" 0 "$3"'
    helper = RECIPES / "fsfreeze" / "fsfreeze-hold.sh"
    try:
        done = subprocess.run(
            [
                "bash",
                "-c",
                command,
                helper,
                components.program("fsfreeze"),
                tmp_path,
                xfs_volume.mount,
            ],
            check=False,
            timeout=20,
        )
        frozen = is_frozen(xfs_volume.mount)
    finally:
        fsfreeze.thaw(xfs_volume.mount)

    assert (done.returncode == 0) is frozen is is_open
