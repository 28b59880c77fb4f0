"""The file systems that the fsfreeze recipe refuses, and the rights with which it runs."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ground import components, filesystems, fsfreeze, processes, scripts, sshd
from tests.ground.fsfreeze import Writer, is_frozen
from tests.ground.leeway import LEEWAY
from tests.ground.recipes import RECIPES, Install
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.fsfreeze_fixtures")
pytestmark = pytest.mark.real

Volumes = list[filesystems.Volume]


def refused(fsfreeze_install: Install, **settings: fsfreeze.Setting) -> str:
    """Return before's refusal; nothing is frozen, and after has nothing to do."""
    recipe, run = fsfreeze_install(**settings), a_run()
    before = scripts.run(recipe.before, environment=run)
    after = scripts.run(recipe.after, "0", environment=run)
    assert (before.exit_code, after.exit_code) == (2, 0), (before, after)
    assert fsfreeze.auto_thaws(recipe) == []
    return before.stderr


def test_a_folder_that_is_no_mount_point_is_refused(
    fsfreeze_install: Install, volumes: Volumes
) -> None:
    folder = volumes[0].mount / "folder"
    folder.mkdir(exist_ok=True)

    said = refused(fsfreeze_install, mounts=[volumes[1].mount, folder])

    assert f"{folder} is not a mount point" in said
    assert not is_frozen(volumes[1].mount)


@pytest.mark.parametrize("place", ["/", "/dev/shm"])
def test_what_logging_in_and_thawing_need_is_refused(on_this_machine: Install, place: str) -> None:
    assert f"{place} cannot be frozen: " in refused(on_this_machine, mounts=[Path(place)])


def test_another_kind_of_file_system_is_refused(
    on_this_machine: Install, ground_folder: Path
) -> None:
    mount = ground_folder / "in memory"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
    try:
        said = refused(on_this_machine, mounts=[mount])
    finally:
        subprocess.run(["umount", mount], check=True)

    assert f"{mount} is of the kind tmpfs: only xfs and ext4" in said


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("mounts", [], "mounts names no mount point"),
        ("mounts", [Path("srv/data")], "a mount point must begin with /"),
        ("freeze_seconds", "soon", "freeze_seconds must be a whole number"),
        ("state_folder", "state", "state_folder must begin with /"),
    ],
)
def test_a_wrong_setting_is_said_and_nothing_is_frozen(
    on_this_machine: Install,
    volumes: Volumes,
    setting: str,
    value: fsfreeze.Setting,
    sentence: str,
) -> None:
    assert sentence in refused(on_this_machine, **{setting: value})
    assert [is_frozen(volume.mount) for volume in volumes] == [False, False]


def test_a_state_folder_on_a_disk_is_refused(
    fsfreeze_install: Install, ground_folder: Path
) -> None:
    assert "is not in memory" in refused(fsfreeze_install, state_folder=ground_folder / "on-disk")


def test_a_file_system_that_is_named_twice_is_frozen_once(
    on_this_machine: Install, ground_folder: Path, volumes: Volumes
) -> None:
    again = ground_folder / "bound again"
    again.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", volumes[0].mount, again], check=True)
    try:
        recipe, run = on_this_machine(mounts=[volumes[0].mount, again]), a_run()
        before = scripts.run(recipe.before, environment=run)
        after = scripts.run(recipe.after, "1", environment=run)
    finally:
        fsfreeze.thaw(volumes[0].mount)
        subprocess.run(["umount", again], check=True)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert f"{again} is the same file system as {volumes[0].mount}" in before.stdout
    assert not is_frozen(volumes[0].mount)


def test_scripts_on_the_frozen_file_system_itself_thaw_it_and_the_auto_thaw_holds_nothing_of_it(
    volumes: Volumes, writers: list[Writer]
) -> None:
    volume, _ = volumes
    recipe = fsfreeze.on_this_machine(volume.mount / "scripts", {"mounts": [volume.mount]})
    run = a_run()
    try:
        before = scripts.run(recipe.before, environment=run)
        (pid,) = fsfreeze.auto_thaws(recipe)
        held = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        held += [str(Path(f"/proc/{pid}/{name}").readlink()) for name in ("cwd", "exe", "root")]
        held += Path(f"/proc/{pid}/maps").read_text().splitlines()
        after = scripts.run(recipe.after, "1", environment=run)
    finally:
        fsfreeze.thaw(volume.mount)
        fsfreeze.end(recipe, [volume.mount])

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert not [each for each in held if str(volume.mount) in each]


def test_nobody_left_behind_holds_the_outputs_of_before(
    fsfreeze_install: Install, ground_sshd: sshd.Sshd
) -> None:
    recipe, run = fsfreeze_install(), a_run()
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

    assert b"frozen: " in before.stdout
    assert scripts.run(recipe.after, "1", environment=run).exit_code == 0


def test_a_host_that_is_not_reached_is_said(
    fsfreeze_over_ssh: Install, ground_folder: Path, ground_sshd: sshd.Sshd
) -> None:
    config = ground_folder / "nobody_listens"
    text = ground_sshd.config.read_text()
    config.write_text(text.replace(str(ground_sshd.port), str(processes.free_port())))
    recipe = fsfreeze_over_ssh(ssh_config=config)

    before = scripts.run(recipe.before, environment=a_run())
    after = scripts.run(recipe.after, "0", environment=a_run())

    assert (before.exit_code, after.exit_code) == (1, 3)
    assert "no connection to instance1: nothing is frozen" in before.stderr
    assert "it is not known whether something is frozen" in after.stderr


# --- an account that may freeze and thaw, and nothing else ---


@pytest.fixture
def sudoers(ground_folder: Path, volumes: Volumes) -> Path:
    """The README's lines, for this account and these mount points."""
    readme = (RECIPES / "fsfreeze" / "README.md").read_text()
    (line,) = re.findall(r"(?m)^ *(n2wbackup ALL=.*)$", readme)
    lines = [
        line.replace("n2wbackup", "nobody").replace("/srv/data", str(v.mount).replace(" ", r"\ "))
        for v in volumes
    ]
    path = ground_folder / "sudoers"
    path.unlink(missing_ok=True)
    path.write_text("\n".join(["Defaults env_reset,use_pty", *lines, ""]))
    path.chmod(0o440)
    return path


@pytest.fixture
def as_nobody(ground_folder: Path, sudoers: Path) -> Callable[[Path], Path]:
    """Wraps a script: it runs as nobody, and only there sudo reads our file."""

    def wrap(script: Path) -> Path:
        components.program("sudo")
        wrapper = script.with_name(f"as-nobody-{script.name}")
        wrapper.write_text(
            "#!/bin/bash\n"
            f"exec unshare --mount bash -c 'mount --bind {sudoers} /etc/sudoers && "
            f'exec setpriv --reuid nobody --regid nogroup --clear-groups "{script}" "$@"\' - "$@"\n'
        )
        wrapper.chmod(0o755)
        return wrapper

    return wrap


def test_an_account_with_the_rights_of_the_readme_freezes_proves_and_thaws(
    on_this_machine: Install,
    volumes: Volumes,
    writers: list[Writer],
    as_nobody: Callable[[Path], Path],
) -> None:
    recipe, run = on_this_machine(), a_run()

    before = scripts.run(as_nobody(recipe.before), environment=run)
    owners = [Path(f"/proc/{pid}").owner() for pid in fsfreeze.auto_thaws(recipe)]
    after = scripts.run(as_nobody(recipe.after), "1", environment=run)

    assert (before.exit_code, after.exit_code) == (0, 0), (before, after)
    assert owners == ["nobody"]
    assert [writer.between(before.ended_at, after.started_at) for writer in writers] == [[], []]
    assert [is_frozen(volume.mount) for volume in volumes] == [False, False]


def test_the_auto_thaw_of_such_an_account_thaws_at_the_deadline(
    on_this_machine: Install, volumes: Volumes, as_nobody: Callable[[Path], Path]
) -> None:
    recipe = on_this_machine(deadline_seconds="3")
    assert scripts.run(as_nobody(recipe.before)).exit_code == 0
    assert [is_frozen(volume.mount) for volume in volumes] == [True, True]

    processes.wait_until(
        lambda: not any(is_frozen(volume.mount) for volume in volumes), seconds=60, what="thawed"
    )


def test_an_account_that_may_freeze_but_not_thaw_freezes_nothing(
    on_this_machine: Install,
    volumes: Volumes,
    sudoers: Path,
    as_nobody: Callable[[Path], Path],
) -> None:
    recipe = on_this_machine()
    rights = sudoers.read_text()
    sudoers.write_text(rights.replace("--unfreeze", "--version"))

    before = scripts.run(as_nobody(recipe.before), environment=a_run())

    assert before.exit_code == 2
    assert (
        f"nobody may not run 'sudo /usr/sbin/fsfreeze --unfreeze {volumes[0].mount}'"
        in before.stderr
    )
    assert [is_frozen(volume.mount) for volume in volumes] == [False, False]
