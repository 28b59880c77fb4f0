"""A window of a folder with a second pair of eyes: what is approved runs, and nothing else."""

from datetime import timedelta
from pathlib import Path

import pytest

from policies.domain.runs.trigger import Trigger
from policies.models import Run
from policies.services.window import permits
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.guard.keeper import Guard
from scripts_admin.models import ScriptVersion
from scripts_admin.services import approvals, versions
from tests import factories
from tests.policies.services.backup import Backup, outcomes, story


@pytest.fixture(autouse=True)
def second_pair(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Bob look at what Alice changes; her scripts are approved as they are."""
    monkeypatch.setattr(permits, "VOLUME_PAUSE", timedelta())
    backup.scripts()
    permissions.grant(factories.bob(), backup.policy.folder, [Right.EDIT])
    approvals.switch(backup.policy.folder, on=True, actor=factories.alice())


def script(backup: Backup, phase: str) -> Path:
    return backup.folder / f"{phase}_{backup.policy.name}.sh"


def newest(backup: Backup, phase: str) -> ScriptVersion:
    versions.look(backup.policy.folder)
    name = script(backup, phase).name
    return ScriptVersion.objects.get(name=name, is_newest=True)


def hashes(run: Run) -> dict[str, str]:
    return dict(run.phases.filter(attempt=1).values_list("phase", "script_sha256"))


def test_approved_scripts_run_as_always(backup: Backup) -> None:
    run = backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 1"]
    assert (run.state, run.consistency) == ("succeeded", "application")
    assert not backup.spooled(run).exists()


def test_a_changed_script_does_not_run_and_the_approved_one_does(backup: Backup) -> None:
    approved = newest(backup, "before")
    for phase in ("before", "after", "complete"):
        backup.script(phase, f'echo "new {phase}" >> marks')

    run = backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 1"]
    assert run.state == "succeeded"
    assert hashes(run)["before"] == approved.sha256
    assert not run.phases.exclude(script_doubt="").exists()
    assert any("waits for a second pair of eyes" in each for each in story(run))


def test_once_approved_it_runs(backup: Backup) -> None:
    backup.script("before", 'echo "new before" >> marks')
    approvals.approve(newest(backup, "before"), actor=factories.bob())

    backup.to_end()

    assert backup.marks == ["new before", "after 1", "complete 1"]


def test_it_has_its_name_its_account_and_its_folder(backup: Backup) -> None:
    backup.script("before", 'basename "$0" > name\npwd > where\nid -u > who')
    approvals.approve(newest(backup, "before"), actor=factories.bob())
    backup.script("before", "exit 1")

    run = backup.window()

    assert (backup.folder / "name").read_text().strip() == script(backup, "before").name
    assert (backup.folder / "where").read_text().strip() == str(backup.folder)
    assert run.phases.get(phase="before").script == script(backup, "before").name


def test_it_finds_its_helpers_beside_itself_and_in_its_folder(backup: Backup) -> None:
    helper = backup.folder / "helper.sh"
    helper.write_text('#!/bin/sh\necho "helped $1" >> ' + str(backup.folder / "marks") + "\n")
    helper.chmod(0o755)
    backup.script("before", './helper.sh one\ncd -- "$(dirname -- "$0")" && ./helper.sh two')
    approvals.approve(newest(backup, "before"), actor=factories.bob())

    backup.window()

    assert backup.marks[:2] == ["helped one", "helped two"]


def test_a_change_in_the_last_moment_does_not_get_in(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Guard.go

    def go(guard: Guard) -> None:
        for phase in ("before", "after", "complete"):
            backup.script(phase, f'echo "new {phase}" >> marks')
        real(guard)

    monkeypatch.setattr(Guard, "go", go)

    backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 1"]


def test_a_script_that_was_deleted_goes_on_running(backup: Backup) -> None:
    script(backup, "after").unlink()

    run = backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 1"]
    assert run.consistency == "application"


def test_a_new_script_that_nobody_has_approved_is_a_problem_of_its_phase(backup: Backup) -> None:
    version = newest(backup, "after")
    script(backup, "after").unlink()
    approvals.approve(newest(backup, "after"), actor=factories.bob())
    backup.script("after", 'echo "another after" >> marks')
    assert newest(backup, "after").sha256 != version.sha256

    run = backup.to_end()

    assert backup.marks == ["complete 0"]
    assert outcomes(run)["after"] == "crashed"
    assert run.consistency == "crash"
    assert "nobody has approved it yet" in run.reason


def test_a_test_runs_what_is_in_the_folder(backup: Backup) -> None:
    backup.script("before", 'echo "new before" >> marks')

    backup.to_end(backup.start(Trigger.TEST))

    assert backup.marks[0] == "new before"


def test_a_program_runs_while_its_file_is_the_approved_one(backup: Backup) -> None:
    path = script(backup, "before")
    path.write_bytes(path.read_bytes() + b"exit 0\n\0\1")
    approvals.approve(newest(backup, "before"), actor=factories.bob())
    assert versions.content(newest(backup, "before")) is None
    run = backup.to_end()
    assert (backup.marks[0], run.state) == ("before", "succeeded")

    path.write_bytes(path.read_bytes() + b"\2")
    run = backup.to_end()

    assert outcomes(run)["before"] == "crashed"
    assert "is not there any more" in run.reason
