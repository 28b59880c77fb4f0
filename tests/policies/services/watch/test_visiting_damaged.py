"""What tells how to reach instances may be damaged or lost: what is to thaw on the server does not wait for it."""

from pathlib import Path
from typing import Any

import pytest

from n2wbackup.lib import home
from policies.domain.runs.sequence import State
from policies.services.watch import abandoned, visiting
from policies.services.window import keeping
from scripts_admin.guard import journal, spool
from scripts_admin.guard.keeper import Guard
from tests.policies.services.backup import Backup
from tests.policies.services.distance import reached, server
from tests.policies.services.losses import dying, kill_guard_and_die
from tests.scripts_admin.guard.stage import until

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server"]


def _lost_window(reached: Backup) -> Path:
    """Leave a window that is open here and there, and return its spool."""
    reached.scripts()
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: "after there 0" in reached.marks)
    run.refresh_from_db()
    assert run.state == State.FROZEN
    return home.spool() / str(run.pk)


def _thawed_here(reached: Backup, folder: Path) -> None:
    """Let the watchdog take one turn, and see that after has run on the server."""
    until(lambda: not spool.is_held(folder))
    thawer = abandoned.Thawer(home.spool(), home.runtime())
    thawer.turn()
    until(thawer.reap)
    assert "after 1" in reached.marks


@pytest.mark.parametrize("text", [None, "", "[]", '{"i-1"', '{"i-1": 1}', "null"])
def test_the_server_is_thawed_whatever_became_of_the_ways_to_its_instances(
    reached: Backup, text: str | None
) -> None:
    folder = _lost_window(reached)
    ways = folder / spool.VISITS
    if text is None:
        ways.unlink()
    else:
        ways.write_text(text.replace("i-1", reached.policy.targets.get().instance_id))

    _thawed_here(reached, folder)


def test_instances_are_asked_although_memory_is_full(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _lost_window(reached)
    started = list[Any]()
    monkeypatch.setattr(visiting.Visitors, "_start", lambda _, *of: started.append(of))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write = journal.Writer.__init__
    monkeypatch.setattr(
        journal.Writer,
        "__init__",
        lambda self, where, name=journal.NAME: (
            full() if name == journal.VISITS else write(self, where, name)
        ),
    )

    _thawed_here(reached, folder)
    assert [of[0] for of in started] == [folder]
