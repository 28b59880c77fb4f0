"""What a run's text says of its scripts: exit code, and the end of what they printed."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.policies.services.backup import Backup

pytestmark = pytest.mark.one_database

NUMBERS = "for n in $(seq 1 25); do echo line $n; done; echo trouble $((6 * 7)) >&2; exit 3"


def say(*words: str) -> str:
    said = StringIO()
    call_command(*words, stdout=said)
    return said.getvalue()


def test_a_run_shows_each_scripts_exit_code_and_its_last_twenty_lines(backup: Backup) -> None:
    backup.scripts(before=NUMBERS, after="echo thawed")
    run = backup.to_end(backup.start())

    lines = say("show_run", str(run.pk)).splitlines()

    at = lines.index("before       failed, exit code 3  (before_policy1.sh)")
    assert lines[at + 1] == "    stdout | (5 earlier lines: show_run --json has all)"
    assert lines[at + 2 : at + 22] == [f"    stdout | line {n}" for n in range(6, 26)]
    assert lines[at + 22] == "    stderr | trouble 42"
    assert lines[at + 23] == "after        succeeded, exit code 0  (after_policy1.sh 0)"
    assert lines[at + 24] == "    stdout | thawed"


def test_a_script_that_a_signal_ended_and_a_script_that_is_missing(backup: Backup) -> None:
    backup.scripts(before="kill -9 $$", after="")
    run = backup.to_end(backup.start())

    said = say("show_run", str(run.pk))

    assert "\nbefore       failed, signal 9  (before_policy1.sh)\n" in said
    assert "\nafter        succeeded, exit code 0  (after_policy1.sh 0)\n" in said


@pytest.mark.parametrize(
    "words", [("run_policy", "alice/policy1", "--here"), ("test_scripts", "alice/policy1")]
)
def test_commands_that_run_scripts_show_the_same(backup: Backup, words: tuple[str, ...]) -> None:
    backup.scripts(before=NUMBERS, after="true")
    backup.policy.skip_snapshots_when_before_fails = True  # nobody completes a snapshot here
    backup.policy.save()
    said = StringIO()

    with pytest.raises(CommandError):
        call_command(*words, stdout=said)

    assert "before       failed, exit code 3  (before_policy1.sh)" in said.getvalue()
    assert "    stdout | line 25\n    stderr | trouble 42\n" in said.getvalue()
    assert "line 5\n" not in said.getvalue()


def test_an_output_that_is_off_shows_the_exit_code_alone(backup: Backup) -> None:
    backup.policy.collect_output = False
    backup.policy.save()
    backup.scripts(before="echo hello", after="true")
    run = backup.to_end(backup.start())

    said = say("show_run", str(run.pk))

    assert "before       succeeded, exit code 0" in said
    assert "hello" not in said
