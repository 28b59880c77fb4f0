"""Instances that are asked although the server has given up on their run."""

import shutil

import pytest

from n2wbackup.lib import clock, home
from policies.adapters import visitor
from policies.models import Run, WindowLease
from policies.services.watch import abandoned, asking_late, confirming
from policies.services.window import entering, keeping, late, leases, over_ssm
from scripts_admin.guard import journal, spool
from scripts_admin.guard.keeper import Guard
from tests import factories
from tests.policies.services.backup import Backup, target
from tests.policies.services.distance import reached, server
from tests.policies.services.losses import dying, kill_guard_and_die
from tests.policies.services.watch.test_visiting import ended, is_marked, watched
from tests.scripts_admin.guard.stage import until

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server"]


def test_an_instance_is_asked_for_as_long_as_the_mark_stands(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(asking_late, "PAUSE_SECONDS", 0.0)
    run, visits = given_up_in_silence(reached)
    folder = home.spool() / str(run.pk)
    assert late.is_on(folder)
    # Not while another run has the instance: a question can thaw.
    other = factories.RunFactory.create(policy=factories.PolicyFactory.create(), state="preparing")
    resource = f"us-east-1:{reached.instance.instance_id}"
    lease = WindowLease.objects.create(resource=resource, run=other, taken_at=clock.now())
    (folder / spool.VISITS).write_bytes(visits)
    asked = journal.visits(home.runtime() / str(run.pk)).visited_boot
    abandoned.enter_all()
    assert journal.visits(home.runtime() / str(run.pk)).visited_boot == asked
    assert is_marked(reached)
    assert not WindowLease.objects.filter(run=run).exists()

    lease.delete()

    def is_thawed() -> bool:
        abandoned.enter_all()
        return not is_marked(reached)

    until(is_thawed)
    assert target(run).thaw_by == "eof"
    abandoned.enter_all()
    assert not WindowLease.objects.exists()
    assert not folder.exists()


def test_what_an_instance_told_before_a_restart_of_this_server_is_not_asked_again(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    run, _ = given_up_in_silence(reached)
    run.targets.update(thaw_by="eof", thawed_at=clock.now())
    shutil.rmtree(home.runtime() / str(run.pk))

    abandoned.enter_all()
    abandoned.enter_all()

    assert not is_marked(reached)
    assert not (home.spool() / str(run.pk)).exists()


def test_a_single_question_has_the_time_that_an_answer_takes_and_its_lease_outlives_it() -> None:
    over_ssm_takes = 30.0 + over_ssm.VISIT_SECONDS

    assert visitor.once_seconds(30.0) >= over_ssm_takes
    longest = visitor.once_seconds(24 * 3600.0)
    assert longest < leases.ASKED_WITHIN.total_seconds()


def test_a_confirmed_thaw_ends_the_late_questions(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    run, _ = given_up_in_silence(reached)
    reached.policy.refresh_from_db()

    confirming.confirm(reached.policy, by="bob")
    abandoned.enter_all()
    abandoned.enter_all()

    assert not (home.spool() / str(run.pk)).exists()


def given_up_in_silence(reached: Backup) -> tuple[Run, bytes]:
    """Leave a run that has given up and ended; return also how its instance is asked, which nobody could see."""
    reached.policy.thaw_retry_minutes = 0
    reached.policy.save()
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: "after there 0" in reached.marks)
    path = home.spool() / str(run.pk) / spool.VISITS
    visits = path.read_bytes()
    path.write_text("{}")
    watched(run)
    return ended(reached, run), visits
