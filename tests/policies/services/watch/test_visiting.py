"""Windows on instances whose processes died: the far sides thaw by themselves, and the watchdog hears of it."""

import os
import shutil
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from n2wbackup.lib import home
from policies.domain.runs.sequence import State
from policies.models import PhaseResult, Run, VolumeFire
from policies.services.watch import abandoned, asking
from policies.services.window import entering, keeping
from scripts_admin.domain.remote import Remote
from scripts_admin.guard import spool
from scripts_admin.guard.keeper import Guard
from scripts_admin.models import HostState, SshHost
from scripts_admin.runners import visiting
from scripts_admin.runners.visiting import Visit
from scripts_admin.runners.wires import Begun
from tests.policies.services.backup import Backup, story, target
from tests.policies.services.distance import reached, server, watched
from tests.policies.services.losses import dying, kill_guard_and_die, leave_and_die
from tests.scripts_admin.guard.stage import until

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server", "watched"]


def carriers(run: Run) -> list[int]:
    """The carriers of a run; their titles name it."""
    title = f"n2wbackup carrier {run.pk}".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if title in each.read_bytes():
                found.append(int(each.parent.name))
    return found


def test_what_an_instance_did_when_guard_and_worker_died_is_heard_in_a_second_session(
    reached: Backup,
) -> None:
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: reached.marks == ["before there", "after there 0"])

    watched(run)

    found = target(run)
    assert (found.thaw_by, run.thaw_by) == ("eof", "lost"), story(run)
    assert found.thawed_at is not None
    after = PhaseResult.remote.get(run=run, phase="after")
    assert (after.outcome, after.argument, after.thaw_by) == ("succeeded", "0", "eof")
    assert reached.marks == ["before there", "after there 0"]
    assert run.state == State.WAITING
    assert reached.report(run)["targets"][0]["phases"]["after"]["stdout"] == "released\n"


def test_when_only_the_worker_dies_its_guard_thaws_and_hears_of_it(reached: Backup) -> None:
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", lambda guard, _: leave_and_die(guard))
        keeping.execute(run.pk)

    watched(run)

    assert reached.marks == ["before there", "after there 1"]
    assert (target(run).thaw_by, run.thaw_by) == ("worker", "lost")
    assert target(run).consistency != "application"


def test_a_carrier_that_is_killed_while_frozen_makes_the_snapshots_crash_and_is_told(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, thaw = reached.start(), Guard.thaw

    def killing(guard: Guard, seconds: float) -> object:
        (pid,) = carriers(run)
        os.kill(pid, signal.SIGKILL)
        until(lambda: len(reached.marks) == 2)
        return thaw(guard, seconds)

    monkeypatch.setattr(Guard, "thaw", killing)
    reached.window(run)
    assert run.state == State.FROZEN  # nobody knows yet, and soon somebody will

    watched(run)
    reached.policy.refresh_from_db()
    assert reached.policy.may_be_frozen_since is None

    assert reached.marks == ["before there", "after there 0"]
    assert (target(run).thaw_by, run.thaw_by) == ("eof", "instance")
    reached.cloud.advance()
    reached.settle(run)
    reached.complete(run)
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "thawed by itself (eof)" in run.reason


def test_an_instance_that_cannot_be_asked_keeps_the_run_thawing_and_a_person_can_end_that(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: len(reached.marks) == 2)
    (home.spool() / str(run.pk) / spool.VISITS).write_text("{}")
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    thawer.turn()
    abandoned.enter_all()
    events = run.events.count()
    abandoned.enter_all()

    run.refresh_from_db()
    assert run.state == State.THAWING
    assert "has not told yet that the thaw is over" in " ".join(story(run))
    assert run.events.count() == events  # nothing new is nothing to tell
    assert thawer.turn() == 1
    reached.policy.refresh_from_db()
    assert reached.policy.may_be_frozen_since is not None


def given_up(reached: Backup) -> Run:
    """Leave a run whose instance never tells that it is thawed, until the server gives up."""
    reached.policy.thaw_retry_minutes = 0
    reached.policy.save()
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: "after there 0" in reached.marks)
    (home.spool() / str(run.pk) / spool.VISITS).write_text("{}")
    watched(run)
    return ended(reached, run)


def ended(reached: Backup, run: Run) -> Run:
    """Bring a run to its end behind its window."""
    assert run.state == State.WAITING, story(run)
    reached.cloud.advance()
    reached.settle(run)
    VolumeFire.objects.all().delete()  # the next run need not wait
    return reached.complete(run)


def is_marked(reached: Backup) -> bool:
    reached.policy.refresh_from_db()
    return reached.policy.may_be_frozen_since is not None


def test_a_thaw_now_after_the_server_has_given_up_visits_the_instance_too(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    reached.scripts()
    given_up(reached)
    assert is_marked(reached)

    asking.thaw_now(reached.policy, by="bob")
    reached.window(Run.objects.order_by("-created_at").first())

    assert reached.marks[-2:] == ["after there 0", "after 0"]
    assert not is_marked(reached)


def test_a_thaw_now_that_does_not_get_to_the_instance_leaves_the_mark(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    reached.scripts()
    given_up(reached)
    assert is_marked(reached)
    SshHost.objects.update(key="", state=HostState.SEEN)

    asking.thaw_now(reached.policy, by="bob")
    reached.window(Run.objects.order_by("-created_at").first())

    assert reached.marks[-1] == "after 0"
    assert is_marked(reached)


def test_a_run_without_the_instance_leaves_its_mark_and_one_that_thaws_it_takes_it_away(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    reached.scripts()
    given_up(reached)
    row = reached.policy.targets.get()
    how, row.remote = row.remote, Remote()
    row.save()
    other = ended(reached, reached.window())
    assert (other.state, reached.marks[-2]) == (State.SUCCEEDED, "after 1"), story(other)
    assert is_marked(reached)

    row.remote = how
    row.save()
    reached.window()

    assert reached.marks[-2:] == ["after there 1", "after 1"]
    assert not is_marked(reached)


def test_where_the_journal_was_lost_nobody_says_that_nothing_ran_on_the_instance(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: len(reached.marks) == 2)
    ways = home.spool() / str(run.pk) / spool.VISITS
    said = ways.read_text()
    ways.write_text("{}")
    shutil.rmtree(home.runtime() / str(run.pk))

    thawer = abandoned.Thawer(home.spool(), home.runtime())
    thawer.turn()
    abandoned.enter_all()
    run.refresh_from_db()

    assert run.state == State.THAWING
    assert outcomes_there(run) == {"before": "interrupted"}
    ways.write_text(said)
    watched(run)
    assert outcomes_there(run) == {"before": "succeeded", "after": "succeeded"}
    assert target(run).thaw_by == "eof"


def outcomes_there(run: Run) -> dict[str, str]:
    return dict(PhaseResult.remote.filter(run=run).values_list("phase", "outcome"))


def test_a_person_who_asks_for_the_thaw_now_has_the_instances_asked_now(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: len(reached.marks) == 2)
    (home.spool() / str(run.pk) / spool.VISITS).write_text("{}")
    thawer = abandoned.Thawer(home.spool(), home.runtime())
    thawer.turn()
    abandoned.enter_all()
    tries = list[int]()

    def begin() -> Begun:
        tries.append(1)
        raise OSError("no route")

    monkeypatch.setattr(visiting, "PAUSES", (0.0, 3600.0))
    visit = Visit(run.targets.get().instance_id, "0" * 32, begin)
    visitor = visiting.Visitor(home.runtime() / str(run.pk), lambda: len(tries) < 2)
    thread = threading.Thread(target=visitor.visit, args=([visit],))
    thread.start()
    until(lambda: tries)

    asking.thaw_now(reached.policy, by="bob")
    asking.pass_on()
    until(lambda: (thawer.turn(), len(tries) == 2)[1])
    thread.join()
