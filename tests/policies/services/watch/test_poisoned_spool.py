"""Records and journals that make no sense: the run ends, what may be frozen is thawed, or a person is asked to."""

import json

import pytest

from n2wbackup.lib import home
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.models import Run
from scripts_admin.guard import journal, spool
from tests.policies.services.backup import Backup
from tests.policies.services.driving import drive


def _damaged_record(folder: str, run: Run) -> None:
    spooled = home.spool() / str(run.pk)
    raw = json.loads((spooled / spool.RECORD).read_text())
    raw[folder] = "rubbish"
    (spooled / spool.RECORD).write_text(json.dumps(raw))


@pytest.fixture
def frozen(backup: Backup) -> Run:
    """Give a run whose window stands open and whose worker and guard are gone."""
    backup.scripts(after="exit 1")
    run = backup.window()
    assert run.state == State.THAWING
    return run


@pytest.mark.parametrize(
    "key", ["max_freeze_seconds", "thaw_retry_seconds", "environment", "after", "identity"]
)
def test_a_record_with_a_poisoned_value_ends_its_run_and_says_who_has_to_thaw(
    backup: Backup, frozen: Run, key: str
) -> None:
    _damaged_record(key, frozen)

    drive(backup, frozen)

    assert frozen.state == State.PARTIAL
    assert "thaw by hand and confirm it." in frozen.reason
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is not None


@pytest.mark.parametrize("how", ["folder", "loop", "gone", "deep"])
def test_a_record_that_is_no_file_ends_its_run(backup: Backup, frozen: Run, how: str) -> None:
    path = backup.spooled(frozen) / spool.RECORD
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "loop":
        path.symlink_to(path)
    elif how == "deep":
        path.write_text("[" * 100_000)

    drive(backup, frozen)

    assert frozen.state == State.PARTIAL
    assert "thaw by hand and confirm it." in frozen.reason


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b'{"event": "ended", "phase": "before", "attempt": 1, "at": 1e300, "boot": "x", "outcome": 7}\n',
        b'{"event": "ordered", "phase": "after", "attempt": "x", "at": 1, "boot": 1, "argument": 1}\n',
        b'{"event": "thaw", "by": {}, "at": NaN, "boot": Infinity}\n',
        b'{"event": "output", "phase": "after", "attempt": 1, "stdout": "\\ud800", "stderr": 7}\n',
        b'{"event": ["opened"]}\n[]\n7\nnull\n',
    ],
)
def test_a_poisoned_journal_keeps_no_window_from_its_thaw_and_its_end(
    backup: Backup, line: bytes
) -> None:
    backup.scripts(after='[ "$N2W_ATTEMPT" -gt 1 ]')
    run = backup.window()
    with (home.runtime() / str(run.pk) / journal.NAME).open("ab") as file:
        file.write(line)

    drive(backup, run)

    assert run.state == State.PARTIAL
    assert backup.marks[:3] == ["before", "after 1", "after 1"]


def test_a_folder_with_another_name_in_the_spool_stops_nobody(backup: Backup) -> None:
    backup.scripts(after='[ "$N2W_ATTEMPT" -gt 1 ]')
    run = backup.window()
    spool.create(home.spool(), "a-copy")

    drive(backup, run)

    assert run.state in sequence.ENDS
    assert (home.spool() / "a-copy").is_dir()
