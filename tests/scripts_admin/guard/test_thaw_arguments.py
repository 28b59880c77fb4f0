"""The argument of the server's own after, when a window with instances is thawed by another process."""

from dataclasses import replace

import pytest

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import linux
from scripts_admin.guard.journal import Journal
from scripts_admin.guard.on_instances import OnInstance
from scripts_admin.guard.spool import Record, ScriptCommand
from scripts_admin.guard.thaw import standing

BOOT = linux.boot_id()
RECORD = Record(
    run="run",
    boot=BOOT,
    folder="",
    environment={},
    max_freeze_seconds=60.0,
    thaw_retry_seconds=3600.0,
    after=ScriptCommand(Phase.AFTER, ("/after_policy1.sh",), 10.0),
    instances=(OnInstance("a", "ssh", before="before_policy1@a.sh"),),
)


def argument(record: Record, code: str) -> str:
    story = Journal()
    told: list[dict[str, object]] = [
        {"event": "armed"},
        {"event": "opened"},
        {"event": "go there", "instances": ["a"]},
    ]
    if code:
        told.append({"event": "heard there", "instance": "a", "word": "before", "code": code})
    for each in told:
        story.take({"at": 1.0, "boot": 1.0, **each})
    due = standing(record, story, BOOT).due
    assert due is not None
    return due.argument


@pytest.mark.parametrize(
    ("code", "expected"), [("0", "1"), ("3", "0"), ("timeout", "0"), ("", "0")]
)
def test_it_is_1_only_if_every_before_on_an_instance_is_known_to_have_succeeded(
    code: str, expected: str
) -> None:
    assert argument(RECORD, code) == expected


def test_an_instance_that_could_not_be_reached_makes_it_0() -> None:
    refused = OnInstance("b", "ssh", armed=False, outcome="crashed")

    assert argument(replace(RECORD, instances=(*RECORD.instances, refused)), "0") == "0"


def test_without_instances_and_without_a_journal_nothing_changes() -> None:
    due = standing(replace(RECORD, instances=()), None, BOOT).due

    assert due is not None
    assert due.argument == "1"
