"""A thaw whose freeze was told without the database is told once."""

from typing import Any

import pytest

from n2wbackup.lib import home
from policies.adapters import post
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.services.alarms import delivering
from policies.services.watch import abandoned
from scripts_admin.guard import thaw as thaws
from tests.ground.receivers import Webhook
from tests.policies.services.backup import Backup
from tests.policies.services.watch.spool_alarms import Clock, turns, watch
from tests.scripts_admin.guard.stage import until

pytestmark = pytest.mark.usefixtures("loopback")


def _thawed_and_not_entered(backup: Backup, run: Run) -> None:
    (backup.folder / "fixed").touch()
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    def is_thawed() -> bool:
        thawer.turn()
        _, standing = thaws.look(backup.spooled(run), home.runtime() / str(run.pk))
        return thawer.reap() and not standing.failing

    until(is_thawed)


@pytest.mark.parametrize("hears", ["after it is sent", "while it is sent"])
def test_a_thaw_that_was_told_from_the_spool_is_not_told_again_by_its_row(
    backup: Backup,
    frozen: Run,
    hook: Webhook,
    later: Clock,
    monkeypatch: pytest.MonkeyPatch,
    hears: str,
) -> None:
    alarms, carry, seen = watch(), post.carry, list[int]()
    turns(alarms, later, 6, 25)
    delivering.spread(**alarms.known())
    _thawed_and_not_entered(backup, frozen)

    def look(*arguments: Any) -> Any:
        abandoned.enter_all()
        seen.append(delivering.spread(**alarms.known()))
        return carry(*arguments)

    with monkeypatch.context() as patch:
        if hears == "while it is sent":
            patch.setattr(post, "carry", look)
        alarms.turn()
    abandoned.enter_all()
    delivering.spread(**alarms.known())
    delivering.send_all()

    frozen.refresh_from_db()
    assert frozen.state == State.WAITING
    assert seen in ([], [0])
    assert [title.split()[1:3] for title in hook.titles] == [["MAY", "BE"], ["has", "recovered"]]
    assert (
        f"after has succeeded in run {frozen.pk}: {frozen.label} is thawed."
        in hook.requests[1][2]["message"]
    )


def test_where_a_thaw_reached_nobody_from_the_spool_its_row_tells_it(
    backup: Backup, frozen: Run, hook: Webhook, later: Clock
) -> None:
    alarms = watch()
    turns(alarms, later, 6, 25)
    delivering.spread(**alarms.known())
    _thawed_and_not_entered(backup, frozen)
    hook.status = 500
    alarms.turn()
    hook.status = 200

    abandoned.enter_all()
    delivering.spread(**alarms.known())
    delivering.send_all()

    assert [title.split()[1:3] for title in hook.titles] == [
        ["MAY", "BE"],
        *[["has", "recovered"]] * 2,
    ]


def test_the_rows_that_told_a_freeze_tell_its_thaw(
    backup: Backup, frozen: Run, hook: Webhook, later: Clock
) -> None:
    alarms = watch()
    turns(alarms, later, 6, 25)
    delivering.spread(**alarms.known())
    alarms.told = frozenset(delivering.told())
    _thawed_and_not_entered(backup, frozen)

    alarms.turn()
    abandoned.enter_all()
    alarms.turn()
    delivering.spread(**alarms.known())
    delivering.send_all()

    assert [title.split()[1:3] for title in hook.titles] == [["MAY", "BE"], ["has", "recovered"]]
