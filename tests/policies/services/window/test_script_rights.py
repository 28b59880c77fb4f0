"""Runs whose scripts belong to another account: what it may not run is found before anything is frozen."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from n2wbackup.lib import home
from policies.domain.runs.sequence import State
from tests.ground import processes
from tests.policies.services.backup import Backup

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run scripts as somebody else"),
]


@pytest.fixture(autouse=True)
def own_home(settings: Settings) -> Iterator[Path]:
    """Give a home that the script account may pass; pytest's own folders are closed."""
    with processes.folder() as place:
        place.chmod(0o711)
        settings.N2W_HOME = place
        settings.N2W_SCRIPTS_ROOT = place / "scripts"
        settings.N2W_RUN_SCRIPTS_AS, settings.N2W_SCRIPT_USER = "cpmuser", "nobody"
        yield place
        shutil.rmtree(home.runtime_of(place), ignore_errors=True)


def test_a_folder_from_before_the_account_existed_is_given_to_it_at_its_next_use(
    backup: Backup,
) -> None:
    backup.scripts(before="id -un >> marks")
    backup.folder.chmod(0o700)

    run = backup.to_end()

    assert (run.state, run.consistency) == (State.SUCCEEDED, "application")
    assert backup.marks == ["before", "nobody", "after 1", "complete 1"]
    assert backup.folder.stat().st_mode & 0o7777 == 0o2770


def test_an_interpreter_that_only_root_may_run_keeps_before_from_freezing(
    backup: Backup, own_home: Path
) -> None:
    backup.scripts()
    shell = own_home / "shell"
    shutil.copy("/bin/bash", shell)
    shell.chmod(0o700)
    backup.script("after", "").write_text(f"#!{shell}\necho after >> marks\n")

    run = backup.to_end()

    assert backup.marks == ["complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert f"names the interpreter {shell}, which nobody may not run" in run.reason


@pytest.mark.parametrize("name", ["key", "nothing"])
def test_a_first_line_does_not_tell_which_files_of_root_exist(
    backup: Backup, own_home: Path, name: str
) -> None:
    secrets = own_home / "closed"
    secrets.mkdir(mode=0o700)
    (secrets / "key").write_text("no interpreter line")
    backup.scripts()
    backup.script("before", "").write_text(f"#!{secrets}/{name}\n")

    run = backup.to_end()

    assert run.reason == (
        f"before crashed: nobody may not enter {secrets}, so before_policy1.sh cannot run: give it the x permission "
        "there."
    )
