"""What the scripts of a run left behind: entered, shown, and ended only where the policy says so."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from policies.management import output
from policies.models import Policy, Run
from policies.services.window import leftovers
from scripts_admin.guard import launching, linux
from tests.policies.services.backup import Backup

LEAVES = "sleep 600 >/dev/null 2>&1 &\necho $! > left\n"


@pytest.fixture
def pid_file(backup: Backup) -> Path:
    backup.script("after", "true")
    backup.script("before", LEAVES)
    return backup.folder / "left"


def is_alive(pid_file: Path) -> bool:
    return linux.is_alive(linux.identify(int(pid_file.read_text())))


def end(pid_file: Path) -> None:
    with suppress(ProcessLookupError):
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_a_process_that_before_left_is_entered_and_left_alone(
    backup: Backup, pid_file: Path
) -> None:
    run = backup.to_end()
    try:
        (found,) = Run.objects.get(pk=run.pk).left_behind or []

        assert (found["name"], found["pid"], found["ended"]) == (
            "sleep",
            int(pid_file.read_text()),
            False,
        )
        assert is_alive(pid_file)
        assert run.state == "succeeded"
        assert any("left behind by its scripts: sleep (process" in str(e) for e in run.events.all())
        assert "left behind  sleep (process" in output.report(backup.report(run))
    finally:
        end(pid_file)


def test_it_is_ended_where_the_policy_says_so(backup: Backup, pid_file: Path) -> None:
    Policy.objects.update(end_leftovers=True)

    run = backup.to_end()

    (found,) = Run.objects.get(pk=run.pk).left_behind or []
    assert found["ended"]
    assert not is_alive(pid_file)


def test_what_after_ends_is_no_leftover(backup: Backup) -> None:
    backup.script("before", LEAVES)
    backup.script("after", "kill $(cat left)")

    assert Run.objects.get(pk=backup.to_end().pk).left_behind == []


def test_nobody_looks_where_no_script_was_started(backup: Backup) -> None:
    assert Run.objects.get(pk=backup.to_end().pk).left_behind is None


def test_the_page_says_what_was_left(backup: Backup, client: Client) -> None:
    backup.scripts()
    run = backup.to_end()
    client.force_login(backup.policy.owner)
    path = reverse("run", args=[run.pk])
    assert "Nothing was left frozen, and no process was left behind." in client.get(path).text

    row = {"pid": 7, "name": '"><svg onload=x>', "seconds": 3, "ended": False}
    Run.objects.filter(pk=run.pk).update(left_behind=[row])

    page = client.get(path).text
    assert (
        "The scripts left processes behind: &quot;&gt;&lt;svg onload=x&gt; (process 7, 3 s old)"
        in page
    )
    assert "<svg onload" not in page

    Policy.objects.update(may_be_frozen_since=run.created_at)
    Run.objects.filter(pk=run.pk).update(left_behind=[])
    page = client.get(path).text
    assert "No process was left behind." in page
    assert "Nothing was left frozen" not in page


def test_where_the_launcher_runs_the_scripts_it_is_asked_for_the_run_and_ends_it(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shape of its answers is the one that tests/system/test_launcher.py sees."""
    backup.scripts()
    Policy.objects.update(end_leftovers=True)
    run = backup.window()
    ended: list[linux.Process] = []

    def answer(_: object) -> dict[str, object]:
        mine = {"run": str(run.pk), "pid": 7, "start": 70, "account": "alice", "phase": "before"}
        other = mine | {"run": "another", "pid": 8, "processes": [{"pid": 80, "name": "theirs"}]}
        own = [] if ended else [mine | {"processes": [{"pid": 4000001, "name": "mysql"}]}]
        return {"said": "leftovers", "of": [other, *own]}

    monkeypatch.setattr(launching, "is_needed", lambda identity: True)
    monkeypatch.setattr(launching, "ask", answer)
    monkeypatch.setattr(launching, "end", ended.append)

    leftovers.enter([(run, None)])

    assert ended == [linux.Process(7, 70)]
    assert run.left_behind == [{"pid": 4000001, "name": "mysql", "seconds": 0, "ended": True}]


def test_a_launcher_that_cannot_be_asked_is_no_reason_for_a_run_not_to_end(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.window()

    def fail(_: str) -> None:
        raise launching.LaunchError("it is missing")

    monkeypatch.setattr(launching, "is_needed", lambda identity: True)
    monkeypatch.setattr(launching, "leftovers", fail)

    leftovers.enter([(run, None)])

    assert Run.objects.get(pk=run.pk).left_behind is None


def test_what_was_found_once_stays_where_the_end_is_taken_back(
    backup: Backup, pid_file: Path
) -> None:
    Policy.objects.update(end_leftovers=True)
    run = backup.window()
    try:
        for _ in range(2):  # with others, and then alone
            leftovers.enter([(run, None)])
        assert [each["name"] for each in run.noted["left_behind"]] == ["sleep"]
    finally:
        end(pid_file)
