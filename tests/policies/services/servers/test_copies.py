"""Scripts that are not the same on every server: nothing is frozen with them, and people are told."""

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Run, ScriptCopy, Server
from policies.selectors import servers
from policies.services.servers import copies, heart
from scripts_admin.folders import storage
from tests.policies.services.backup import Backup, story
from tests.policies.services.elsewhere import Elsewhere


@pytest.fixture
def other_scripts(
    backup: Backup,
    elsewhere: Elsewhere,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Give the other server's folder of Alice, which is a copy of this one's."""
    backup.scripts()
    root = tmp_path_factory.mktemp("other-scripts")
    own = settings.N2W_SCRIPTS_ROOT
    settings.N2W_SCRIPTS_ROOT = root
    folder = storage.create(backup.policy.folder)
    settings.N2W_SCRIPTS_ROOT = own
    for path in backup.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.name).chmod(0o755)
    report(elsewhere, settings, root)
    heart.beat()
    copies.enter()
    return folder


def report(elsewhere: Elsewhere, settings: Settings, root: Path) -> None:
    """Have the other server report what it has."""
    own = settings.N2W_SCRIPTS_ROOT
    heart.beat()
    settings.N2W_SCRIPTS_ROOT = root
    with elsewhere.here():
        heart.beat()
        copies.enter()
    settings.N2W_SCRIPTS_ROOT = own


def test_the_only_server_reports_nothing(backup: Backup) -> None:
    heart.beat()

    assert copies.enter() == 0
    assert not ScriptCopy.objects.exists()


def test_what_has_not_changed_is_not_entered_again(backup: Backup, other_scripts: Path) -> None:
    assert copies.enter() == 0
    (backup.folder / "before_policy1.sh").write_text("#!/bin/sh\n")
    assert copies.enter() == 1


def test_the_same_scripts_on_both_are_run(backup: Backup, other_scripts: Path) -> None:
    assert backup.to_end().state == State.SUCCEEDED
    assert backup.marks == ["before", "after 1", "complete 1"]


@pytest.mark.parametrize("how", ["changed", "more", "less", "not executable"])
def test_scripts_that_differ_are_waited_for_and_then_not_run(
    backup: Backup, elsewhere: Elsewhere, settings: Settings, other_scripts: Path, how: str
) -> None:
    script = other_scripts / "before_policy1.sh"
    if how == "changed":
        script.write_text("#!/bin/bash\necho old\n")
    elif how == "more":
        (other_scripts / "before_policy1.py").write_text("#!/usr/bin/python3\n")
    elif how == "less":
        script.unlink()
    else:
        script.chmod(0o644)
    report(elsewhere, settings, other_scripts.parent)

    run = backup.window()
    assert run.state == State.QUEUED
    with time_machine.travel(clock.now() + timedelta(minutes=2)):
        run = backup.to_end(run)

    assert backup.marks == []
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    sentence = next(text for text in story(run) if "differ between this server and server" in text)
    assert "before_policy1." in sentence
    assert sentence.endswith("none is run: make the folder alice the same on both.")


def test_a_copy_that_comes_in_time_is_run(
    backup: Backup, elsewhere: Elsewhere, settings: Settings, other_scripts: Path
) -> None:
    content = (other_scripts / "before_policy1.sh").read_bytes()
    (other_scripts / "before_policy1.sh").write_text("#!/bin/bash\n")
    report(elsewhere, settings, other_scripts.parent)
    run = backup.window()
    (other_scripts / "before_policy1.sh").write_bytes(content)
    report(elsewhere, settings, other_scripts.parent)

    with time_machine.travel(clock.now() + timedelta(seconds=11)):
        assert backup.to_end(run).state == State.SUCCEEDED


def test_another_policy_s_scripts_and_helpers_hold_nobody_up_and_are_listed(
    backup: Backup, elsewhere: Elsewhere, settings: Settings, other_scripts: Path
) -> None:
    (other_scripts / "before_another.sh").write_text("#!/bin/bash\n")
    (other_scripts / "notes").write_text("a script wrote this\n")
    report(elsewhere, settings, other_scripts.parent)

    assert backup.to_end().state == State.SUCCEEDED
    (problem,) = next(row for row in servers.listed() if not row.is_here).problems
    assert "The script folder alice differs from the one here (before_another.sh," in problem


def test_a_server_that_has_reported_nothing_yet_is_waited_for(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    backup.scripts()
    heart.beat()
    with elsewhere.here():
        heart.beat()

    run = backup.window()

    assert run.state == State.QUEUED
    assert "has not reported yet which scripts it has in the folder alice" in story(run)[-1]


@pytest.mark.parametrize(("lacks", "ends"), [(True, State.PARTIAL), (False, State.SUCCEEDED)])
def test_of_a_server_that_is_gone_only_what_is_lacking_here_counts(
    backup: Backup,
    elsewhere: Elsewhere,
    settings: Settings,
    other_scripts: Path,
    *,
    lacks: bool,
    ends: State,
) -> None:
    Server.objects.filter(pk=elsewhere.server).update(gone_at=clock.now())
    if lacks:
        (backup.folder / "before_policy1.sh").unlink()
    else:
        backup.scripts(before="true")

    run = backup.start()
    Run.objects.update(started_at=clock.now() - timedelta(minutes=2))

    run = backup.to_end(run)

    assert run.state == ends
    assert ("before" in backup.marks) == (not lacks)
