"""Windows that another version opened: an upgrade or downgrade must leave nothing frozen."""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest

from n2wbackup.lib import clock, home
from policies.domain.runs.sequence import State
from policies.models import Policy, Run, RunTarget
from policies.services.following import completing
from policies.services.watch import abandoned
from scripts_admin.guard import journal, linux, spool
from tests import factories
from tests.policies.services.backup import Backup, outcomes, target

Raw = dict[str, Any]


def open_window(backup: Backup) -> Run:
    """A run that another version's worker and guard left frozen; its spool is still empty."""
    run = factories.RunFactory.create(
        policy=backup.policy, state=State.FROZEN, server=home.server_id(), ordered_at=clock.now()
    )
    factories.RunTargetFactory.create(run=run, state=RunTarget.State.PLANNED)
    spool.create(home.spool(), str(run.pk))
    return run


def first_record(backup: Backup, run: Run) -> Raw:
    """Return the record as version 0.1.0 wrote it: literal, as that version never changes."""
    copy = backup.spooled(run) / "after"
    copy.write_text("#!/bin/bash\n")
    return {
        "run": str(run.pk),
        "boot": linux.boot_id(),
        "folder": str(backup.folder),
        "environment": {"PATH": os.environ["PATH"], "N2W_RUN_ID": str(run.pk)},
        "max_freeze_seconds": 60.0,
        "thaw_retry_seconds": 3600.0,
        "before": {
            "phase": "before",
            "paths": [str(backup.folder / "before_policy1.sh")],
            "timeout_seconds": 1.0,
        },
        "after": {
            "phase": "after",
            "paths": [str(backup.folder / "after_policy1.sh"), str(copy)],
            "timeout_seconds": 30.0,
        },
        "complete": None,
        "not_run": {"complete": "missing"},
        "identity": None,
        "collect_output": True,
        "masks": "",
        "format": 1,
    }


def first_journal(run: Run) -> str:
    """Return the journal of version 0.1.0 after before had succeeded and nothing else had happened."""
    at = {"at": clock.now().timestamp() - 1, "boot": linux.boottime() - 1}
    one = {"phase": "before", "attempt": 1}
    lines: list[Raw] = [
        {"event": "spawned", **at, "phase": "after", "attempt": 1, "pid": 2**22, "start_ticks": 1},
        {"event": "spawned", **at, **one, "pid": 2**22, "start_ticks": 1},
        {"event": "opened", **at},
        {"event": "ordered", **at, **one, "argument": None, "script": "before_policy1.sh"},
        {"event": "ended", **at, **one, "outcome": "succeeded", "exit_code": 0},
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def leave(backup: Backup, run: Run, record: Raw | str, events: str) -> None:
    text = record if isinstance(record, str) else json.dumps(record)
    (backup.spooled(run) / spool.RECORD).write_text(text)
    folder = home.runtime() / str(run.pk)
    journal.create(folder)
    (folder / journal.NAME).write_text(events)


def test_a_window_that_the_first_version_opened_is_thawed_with_what_its_before_earned(
    backup: Backup,
) -> None:
    backup.scripts()
    run = open_window(backup)
    leave(backup, run, first_record(backup, run), first_journal(run))

    backup.thaw(run)

    assert backup.marks == ["after 1"]
    assert (run.state, run.thaw_by) == (State.WAITING, "lost")
    assert outcomes(run) == {"before": "succeeded", "after": "succeeded"}
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is None


def test_a_window_of_a_version_to_come_is_thawed_with_0_twice_and_without_its_output(
    backup: Backup,
) -> None:
    backup.scripts(after="echo told")
    run = open_window(backup)
    record = first_record(backup, run) | {"format": 3, "freezers": ["unknown here"]}
    record["before"]["timeout_seconds"] = 3.0
    leave(backup, run, record, '{"event": "freezer", "at": 1}\n[]\n' + first_journal(run))

    while backup.thaw(run).state in (State.FROZEN, State.THAWING):
        pass

    assert backup.marks == ["after 0", "after 0"]
    assert run.state == State.WAITING
    assert outcomes(run) == {"before": "interrupted", "after": "succeeded"}
    assert not run.phases.exclude(stdout_bytes=0).exists()
    assert not (backup.spooled(run) / spool.RECORD).exists()


def without_account(record: Raw) -> Raw:
    return {name: value for name, value in record.items() if name != "identity"} | {"format": 3}


def cut(record: Raw) -> str:
    return json.dumps(record)[:-40]


@pytest.mark.parametrize("spoil", [without_account, cut])
def test_a_window_whose_record_does_not_tell_how_to_thaw_is_marked_and_told_once(
    backup: Backup,
    spoil: Callable[[Raw], Raw | str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    backup.scripts()
    run = open_window(backup)
    leave(backup, run, spoil(first_record(backup, run)), first_journal(run))
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    with caplog.at_level(logging.ERROR):
        thawer.turn()
        thawer.turn()
        abandoned.enter_all()
        abandoned.enter_all()

    run.refresh_from_db()
    assert run.state == State.WAITING
    assert "does not tell how" in run.reason
    assert run.reason.endswith(": thaw by hand and confirm it.")
    assert Policy.objects.get(pk=backup.policy.pk).may_be_frozen_since == run.ordered_at
    assert target(run).state == RunTarget.State.UNKNOWN
    assert len(caplog.records) == 1
    assert backup.marks == []
    target(run).delete()
    backup.settle(run)
    completing.execute(run.pk)
    run.refresh_from_db()
    assert run.state == State.FAILED
    assert backup.marks == []
    assert not backup.spooled(run).exists()


def test_a_record_that_cannot_be_read_and_has_no_row_is_kept_for_a_version_that_can(
    backup: Backup, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_window(backup)
    leave(backup, run, without_account(first_record(backup, run)), first_journal(run))
    folder, text = backup.spooled(run), (backup.spooled(run) / spool.RECORD).read_text()
    run.delete()

    with caplog.at_level(logging.ERROR):
        abandoned.enter_all()

    assert (folder / spool.RECORD).read_text() == text
    assert not caplog.records
