"""Whatever beat asks for finds its rows by an index, however many runs there have been: each task as a whole."""

import logging
from collections.abc import Callable, Sequence

import pytest
from pytest_django import Settings

from n2wbackup.celery import app
from policies import tasks
from policies.adapters import broker, session
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_blocks import MemoryBlocks
from policies.adapters.memory_copies import MemoryCopies, World
from policies.adapters.memory_making import MemoryMaker
from policies.ports import ManagedInstance
from tests.ground import plans

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("history", "own_aws")]
TASKS = {name: entry["task"].rpartition(".")[2] for name, entry in app.conf.beat_schedule.items()}

# What people have entered is read as a whole where the answer is about all of it.
_ENTERED = {"policies_policy": "", "policies_policytarget": "", "policies_policy_schedules": ""}
WHOLE = {
    "clean": _ENTERED,
    "proofs": _ENTERED,
    "reconcile": _ENTERED,
    "replan": _ENTERED,
    "trials": _ENTERED,
    # Twice a day, for each policy, about all of its restore points and copies that there are.
    "measure": _ENTERED
    | {
        "policies_run": "",
        "policies_runsnapshot": "",
        "policies_snapshotsize": "",
        "policies_copy": "",
    },
}


class NoAgents:
    """Says of no instance that it has an agent."""

    def managed(self, _region: str, _ids: Sequence[str] = ()) -> dict[str, ManagedInstance]:
        return {}

    def role_of(self, _profile: str, _region: str) -> tuple[str, tuple[str, ...]]:
        return "", ()


@pytest.fixture
def own_aws(
    cloud: MemoryCloud, removing: object, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Give an AWS that has nothing, and a server that does all that it can do."""
    settings.N2W_LOCK_SNAPSHOTS = True
    assert removing
    monkeypatch.setattr(session, "copies", lambda _known: MemoryCopies(World(), cloud))
    monkeypatch.setattr(session, "making", lambda _known: MemoryMaker())
    monkeypatch.setattr(session, "agents", lambda _known: NoAgents())
    monkeypatch.setattr(session, "blocks", lambda _known: MemoryBlocks())
    monkeypatch.setattr(broker, "send", lambda *_: None)


def task(name: str) -> Callable[[], object]:
    """Return the task itself: what Celery calls."""
    found: Callable[[], object] = getattr(tasks, TASKS[name]).run
    return found


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_of_beat_reads_no_table_that_grows(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        found = plans.bad(task(name), WHOLE.get(name))

    assert not found, "\n".join(map(str, found))
    # A turn that fails is told in the log alone; it would have asked nothing more.
    assert [record.message for record in caplog.records] == []
