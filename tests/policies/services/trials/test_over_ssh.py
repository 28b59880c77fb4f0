"""Drills and logins of policies, over a real sshd: with the gates of a run, and without its scripts."""

import pytest

from policies.domain.alarms.messages import AlarmKind
from policies.domain.trials import Kind, State, Verdict
from policies.models import Alarm, Policy, Run, Trial, WindowLease
from policies.selectors import trials as selected
from policies.services.trials import asking, logging_in, working
from scripts_admin.models import AuditEntry, HostState, SshHost
from tests.policies.services.backup import Backup
from tests.policies.services.distance import reached, server

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server"]


def made(policy: Policy, kind: Kind = Kind.DRILL) -> Trial:
    trial = asking.ask(policy, kind, by="bob")
    working.execute(trial.pk)
    trial.refresh_from_db()
    return trial


def test_a_drill_proves_that_an_instance_thaws_by_itself_and_runs_no_script(
    reached: Backup,
) -> None:
    before = Run.objects.count()

    trial = made(reached.policy)

    result = trial.results.get()
    assert (result.verdict, result.thaw_by) == (Verdict.PASSED, "eof"), result.sentence
    assert "over eof" in result.sentence
    assert trial.state == State.DONE
    assert reached.marks == []
    assert (Run.objects.count(), WindowLease.objects.count()) == (before, 0)
    assert AuditEntry.objects.latest("pk").action == "drilled"
    assert not Alarm.objects.exists()
    (proof,) = selected.of_policy(reached.policy).proofs
    assert (proof.verdict, proof.proven_at, proof.is_old) == (Verdict.PASSED, result.at, False)


def test_a_drill_takes_the_same_gates_as_a_run(reached: Backup) -> None:
    SshHost.objects.update(key="", state=HostState.SEEN)

    result = made(reached.policy).results.get()

    assert result.verdict == Verdict.FAILED
    assert "Nobody has approved the host key" in result.sentence
    alarm = Alarm.objects.get()
    assert alarm.kind == AlarmKind.DRILL
    assert result.sentence in alarm.text
    made(reached.policy)
    assert Alarm.objects.count() == 1  # the same within an hour is told once


def test_a_dry_login_of_many_that_do_not_answer_comes_to_its_end(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging_in, "MOST_SECONDS", 0.0)

    trial = made(reached.policy, Kind.LOGIN)

    result = trial.results.get()
    assert trial.state == State.DONE
    assert result.verdict == Verdict.NOT_POSSIBLE
    assert "took too long" in result.sentence


def test_a_trial_ends_before_another_worker_takes_it_for_lost() -> None:
    a_login = 60.0
    assert logging_in.MOST_SECONDS + a_login < working.CLAIM.total_seconds()


def test_a_dry_login_says_which_key_works(reached: Backup) -> None:
    trial = made(reached.policy, Kind.LOGIN)

    result = trial.results.get()
    assert (result.verdict, result.key) == (Verdict.PASSED, "stored"), result.sentence
    assert "logs in to i-" in result.sentence
    assert reached.marks == []
    assert AuditEntry.objects.latest("pk").action == "tried to log in"
