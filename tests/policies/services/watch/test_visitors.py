"""The watchdog's visitors cost it nothing that lasts, however often an instance is asked."""

from pathlib import Path

import pytest

from policies.services.watch import visiting
from policies.services.watch.visiting import Visitors
from scripts_admin.guard import journal, spool
from scripts_admin.guard.on_instances import OnInstance
from scripts_admin.guard.spool import Record


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_asking_again_and_again_leaves_no_descriptor_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visiting, "AGAIN_SECONDS", 0.0)
    folder = spool.create(tmp_path / "spool", "run")
    spool.keep_json(folder, spool.VISITS, {})
    owed = OnInstance("i-1", "ssh")
    record = Record("run", "boot", "", {}, 60.0, 3600.0, instances=(owed,))
    visitors = Visitors(tmp_path / "runtime")
    visitors.ask(folder, record, ["i-1"])
    before = descriptors()

    for _ in range(20):
        visitors.ask(folder, record, ["i-1"])

    assert descriptors() < before + 20
    assert journal.visits(tmp_path / "runtime" / "run").visited_boot is not None


def test_an_instance_that_nobody_can_ask_is_told_once_and_not_at_each_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(visiting, "AGAIN_SECONDS", 0.0)
    folder = spool.create(tmp_path / "spool", "run")
    spool.keep_json(folder, spool.VISITS, {"i-1": {"by": "ssh"}, "i-2": {"by": "ssh"}})
    owed = (OnInstance("i-1", "ssh"), OnInstance("i-2", "ssh"))
    record = Record("run", "boot", "", {}, 60.0, 3600.0, instances=owed)
    visitors = Visitors(tmp_path / "runtime")

    for _ in range(3):
        visitors.ask(folder, record, ["i-1", "i-2"])

    told = [each.getMessage() for each in caplog.records]
    assert [each.split(" ", 1)[0] for each in told] == ["i-1", "i-2"]
