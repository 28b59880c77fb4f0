"""Two servers on one database: each does what needs its own spool, and neither touches what the other works on."""

from datetime import timedelta

import pytest
import time_machine

from n2wbackup.celery import app
from n2wbackup.lib import clock, home
from policies.domain.errors import AnswerLostError
from policies.domain.runs.sequence import Event, State
from policies.models import Run, RunSnapshot, RunTarget
from policies.services import claiming, runs
from policies.services.due import hints
from policies.services.following import completing, polling, reconciling
from policies.services.watch import abandoned, confirming
from policies.services.window import keeping, preparing
from scripts_admin.guard import spool
from tests import factories
from tests.policies.services.backup import Backup, outcomes, state, story, target
from tests.policies.services.elsewhere import Elsewhere

pytestmark = pytest.mark.usefixtures("db")
LOST = AnswerLostError("No answer came from CreateSnapshots: it may have been done.")


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Give the task and the queue of each hint that is sent; no queue: any server takes it."""
    sent: list[tuple[str, str]] = []

    def send(task: str, **options: object) -> None:
        sent.append((task.rpartition(".")[2], getattr(options.get("queue"), "name", "")))

    monkeypatch.setattr(app, "send_task", send)
    return sent


def waiting(backup: Backup) -> Run:
    """Return a run that this server took through its window."""
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    return run


# Who claims, and who does not


def test_the_server_that_comes_second_leaves_nothing_behind_and_touches_nothing(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    run = backup.start()
    claimed = claiming.take(run.pk)

    with elsewhere.here():
        keeping.execute(run.pk)
        abandoned.enter_all()

    assert claimed is not None
    assert state(run) == State.PREPARING
    assert elsewhere.spooled() == []


def test_a_folder_that_a_lost_race_left_makes_no_clerk_lose_the_other_server_s_run(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    run = backup.start()
    with elsewhere.here():
        spool.create(home.spool(), str(run.pk))
    claiming.take(run.pk)

    with elsewhere.here():
        abandoned.enter_all()

    assert state(run) == State.PREPARING
    assert Run.objects.get(pk=run.pk).losses == 0
    assert elsewhere.spooled() == []


def test_a_folder_that_a_lost_race_left_ends_no_run_whose_complete_is_running_elsewhere(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    run = factories.RunFactory.create(
        policy=backup.policy,
        state=State.COMPLETING,
        server=home.server_id(),
        complete_started_at=clock.now(),
    )
    with elsewhere.here():
        spool.create(home.spool(), str(run.pk))
        abandoned.enter_all()

    assert state(run) == State.COMPLETING
    assert elsewhere.spooled() == []


def test_a_window_is_thawed_here_before_it_is_forgotten_whoever_has_the_run_now(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    Run.objects.filter(pk=run.pk).update(server=elsewhere.server)

    abandoned.enter_all()
    assert (backup.spooled(run) / spool.RECORD).exists()

    spool.settle(backup.spooled(run))
    abandoned.enter_all()
    assert not backup.spooled(run).exists()
    assert state(run) == State.THAWING


def test_a_worker_whose_run_was_taken_over_changes_nothing(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    run = backup.start()
    stale = claiming.take(run.pk)
    assert stale is not None
    Run.objects.filter(pk=run.pk).update(server=elsewhere.server)
    planned = factories.RunTargetFactory.create(run=run, state=RunTarget.State.PLANNED)

    with pytest.raises(preparing.TakenOverError):
        preparing.prepare(stale)
    assert not runs.apply(stale, Event.ORDERED, "the window opens")

    assert state(run) == State.PREPARING
    assert list(run.targets.all()) == [planned]
    assert backup.calls("fire") == []


# Who completes


def test_complete_is_run_by_the_server_that_has_the_spool(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    run = backup.settle(waiting(backup))

    with elsewhere.here():
        completing.execute(run.pk)
    assert state(run) == State.COMPLETING
    assert elsewhere.spooled() == []

    assert backup.complete(run).state == State.SUCCEEDED
    assert backup.marks == ["before", "after 1", "complete 1"]


def test_the_hint_for_complete_goes_to_the_server_that_has_the_spool(
    backup: Backup,
    elsewhere: Elsewhere,
    queues: list[tuple[str, str]],
    django_capture_on_commit_callbacks: object,
) -> None:
    run = waiting(backup)
    own = home.queue_of(home.server_id())

    with elsewhere.here(), django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        polling.poll()
    assert ("complete", own) in queues

    queues.clear()
    with elsewhere.here(), time_machine.travel(clock.now() + timedelta(seconds=11)):
        assert hints.resend() == 1
    assert queues == [("complete", own)]
    assert state(run) == State.COMPLETING


def test_a_run_that_is_cancelled_by_the_other_server_is_completed_by_its_own(
    backup: Backup,
    elsewhere: Elsewhere,
    queues: list[tuple[str, str]],
    django_capture_on_commit_callbacks: object,
) -> None:
    run = waiting(backup)

    with elsewhere.here(), django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        runs.cancel(Run.objects.get(pk=run.pk), by="alice")

    assert queues == [("complete", home.queue_of(home.server_id()))]
    with elsewhere.here():
        completing.execute(run.pk)
    assert backup.complete(run).state == State.CANCELLED
    assert backup.marks[-1] == "complete 0"


# What any server may do


def test_a_lost_answer_is_looked_for_with_the_tag_of_the_server_that_fired(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    backup.cloud.fail_next("fire", LOST, done=True)
    run = backup.window()
    assert target(run).state == RunTarget.State.UNKNOWN

    with elsewhere.here():
        polling.poll()

    assert target(run).state == RunTarget.State.FIRED
    assert RunSnapshot.objects.filter(target__run=run).count() == 2


def test_the_other_server_s_snapshots_are_neither_gone_nor_strange(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    backup.to_end()

    with elsewhere.here():
        report = reconciling.reconcile()

    assert (report.seen, report.findings) == (2, [])


def test_what_the_other_server_made_without_knowing_is_entered_into_its_run(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    run = backup.to_end()
    RunSnapshot.objects.all().delete()

    with elsewhere.here():
        kinds = {one.kind for one in reconciling.reconcile().findings}

    assert kinds == {reconciling.FindingKind.ADOPTED}
    assert RunSnapshot.objects.filter(target__run=run).count() == 2


def test_a_thaw_that_is_confirmed_at_the_other_server_is_not_tried_again(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    assert run.state == State.THAWING

    with elsewhere.here():
        confirming.confirm(backup.policy, by="alice")
    abandoned.enter_all()

    thawer = abandoned.Thawer(home.spool(), home.runtime())
    with time_machine.travel(clock.now() + timedelta(minutes=5)):
        assert thawer.turn() == 0
    assert state(run) == State.WAITING
    assert story(run)[-1] == "alice confirmed that it is thawed"
    assert outcomes(run)["after"] == "failed"
