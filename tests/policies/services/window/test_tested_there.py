"""Tests of scripts that run on instances: as a backup would run them, and without snapshots."""

import pytest

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import PhaseResult, Run, RunTarget
from policies.services.watch import asking
from scripts_admin.models import HostState, SshHost
from tests.policies.services.backup import Backup, story, target
from tests.policies.services.distance import reached, server, there

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server"]


def tried(reached: Backup, phase: str = "", argument: str = "") -> Run:
    run = reached.start(Trigger.TEST, test_phase=phase, test_argument=argument)
    return reached.complete(reached.settle(reached.window(run)))


def outcomes_there(run: Run) -> dict[str, str]:
    return dict(PhaseResult.remote.filter(run=run).values_list("phase", "outcome"))


def test_a_test_runs_the_scripts_of_instances_and_makes_no_snapshot(reached: Backup) -> None:
    reached.scripts()

    run = tried(reached)

    assert reached.marks == [
        "before",
        "before there",
        "after there 1",
        "after 1",
        "complete 0",
    ], story(run)
    assert run.state == State.SUCCEEDED, (run.reason, story(run))
    assert not reached.calls("fire")
    row = target(run)
    assert (row.state, row.thaw_by, row.expected_volume_ids) == (
        RunTarget.State.TESTED,
        "worker",
        [],
    )
    (printed,) = reached.report(run)["targets"]
    assert (printed["state"], printed["phases"]["before"]["stdout"]) == ("tested", "held\n")
    assert (printed["phases"]["after"]["stdout"], printed["phases"]["after"]["argument"]) == (
        "released\n",
        "1",
    )


@pytest.mark.parametrize(
    ("phase", "argument", "marks"),
    [
        ("before", "", ["before there", "after there 1"]),
        ("after", "1", ["after there 1"]),
    ],
)
def test_one_phase_is_tested_there_with_the_argument_that_was_asked_for(
    reached: Backup, phase: str, argument: str, marks: list[str]
) -> None:
    run = tried(reached, phase, argument)

    assert reached.marks == marks, story(run)
    assert run.state == State.SUCCEEDED, (run.reason, story(run))
    asked = {"before": "succeeded", "after": "succeeded"}
    assert outcomes_there(run) == (asked if phase == "before" else asked | {"before": "not_run"})


def test_a_test_of_after_gives_both_sides_the_argument_though_an_instance_is_not_reached(
    reached: Backup,
) -> None:
    reached.scripts()
    SshHost.objects.update(key="", state=HostState.SEEN)

    run = tried(reached, "after", "1")

    assert reached.marks == ["after 1"]
    assert run.state == State.FAILED
    assert "Nobody has approved the host key" in run.reason


def test_complete_is_tested_without_a_login(reached: Backup) -> None:
    reached.scripts()
    SshHost.objects.update(key="", state=HostState.SEEN)

    run = tried(reached, "complete", "1")

    assert (run.state, reached.marks) == (State.SUCCEEDED, ["complete 1"]), run.reason
    assert not run.targets.exists()


def test_a_before_that_fails_there_fails_the_test(reached: Backup) -> None:
    there(reached, before="echo no >&2; exit 3")

    run = tried(reached)

    assert reached.marks == ["before there", "after there 0"]
    assert run.state == State.FAILED
    assert "before failed on i-" in run.reason


def test_a_thaw_now_runs_after_whatever_aws_would_refuse(reached: Backup) -> None:
    reached.scripts()
    lost = reached.add_instance()
    reached.policy.targets.filter(instance_id=lost.instance_id).update(instance_id="i-gone")
    reached.policy.may_be_frozen_since = clock.now()
    reached.policy.save()

    asking.thaw_now(reached.policy, by="bob")
    reached.window(Run.objects.get())

    assert reached.marks == ["after there 0", "after 0"]
