"""Faults on demand: the answer to the call, and what was really done."""

import threading
import time

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from n2wbackup.demo.aws import SimulatedAws, SimulatorError
from n2wbackup.demo.aws.client import FaultKind
from tests.contract.aws_clients import ec2, refused, ssm


def fire(aws: SimulatedAws, instance_id: str, read_timeout: float = 20) -> list[str]:
    """Create the snapshots of an instance; return their ids."""
    answer = ec2(aws, read_timeout=read_timeout).create_snapshots(
        InstanceSpecification={"InstanceId": instance_id}
    )
    return [each["SnapshotId"] for each in answer["Snapshots"]]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("throttle", ("RequestLimitExceeded", 503)),
        ("error_500", ("InternalError", 500)),
        ("error_503", ("Unavailable", 503)),
        ("denied", ("UnauthorizedOperation", 403)),
    ],
)
def test_an_error_befalls_as_many_calls_as_wanted_and_nothing_is_done(
    simulated_aws: SimulatedAws, kind: FaultKind, answer: tuple[str, int]
) -> None:
    instance = simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", kind, times=2)
    for _ in range(2):
        with pytest.raises(ClientError) as raised:
            fire(simulated_aws, instance.instance_id)
        assert refused(raised) == answer
    assert simulated_aws.snapshots() == []
    assert [each.outcome for each in simulated_aws.calls()] == [answer[0]] * 2
    assert fire(simulated_aws, instance.instance_id)


def test_ssm_has_its_own_words_for_the_same_faults(simulated_aws: SimulatedAws) -> None:
    simulated_aws.fault("DescribeInstanceInformation", "throttle")
    simulated_aws.fault("DescribeInstanceInformation", "error_500")
    for expected in (("ThrottlingException", 400), ("InternalServerError", 500)):
        with pytest.raises(ClientError) as raised:
            ssm(simulated_aws).describe_instance_information()
        assert refused(raised) == expected


def test_a_fault_without_times_lasts_until_it_is_cleared(simulated_aws: SimulatedAws) -> None:
    instance = simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", "throttle", times=None)
    for _ in range(4):
        with pytest.raises(ClientError):
            fire(simulated_aws, instance.instance_id)
    simulated_aws.clear_faults()
    assert fire(simulated_aws, instance.instance_id)


def test_a_fault_befalls_only_the_calls_that_match(simulated_aws: SimulatedAws) -> None:
    here, there = simulated_aws.add_instance(), simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", "throttle", match={"InstanceId": there.instance_id})
    simulated_aws.fault("CreateSnapshots", "throttle", region="eu-west-1")
    assert fire(simulated_aws, here.instance_id)
    with pytest.raises(ClientError):
        fire(simulated_aws, there.instance_id)
    assert {each.instance_id for each in simulated_aws.snapshots()} == {here.instance_id}


def test_dry_runs_are_spared_unless_the_fault_is_a_denial_or_says_so(
    simulated_aws: SimulatedAws,
) -> None:
    instance, client = simulated_aws.add_instance(), ec2(simulated_aws)

    def outcome(*, dry_run: bool) -> str:
        try:
            client.create_snapshots(
                InstanceSpecification={"InstanceId": instance.instance_id}, DryRun=dry_run
            )
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "ok"

    simulated_aws.fault("CreateSnapshots", "throttle")
    assert outcome(dry_run=True) == "DryRunOperation"
    assert outcome(dry_run=False) == "RequestLimitExceeded"
    simulated_aws.fault("CreateSnapshots", "denied")
    assert outcome(dry_run=True) == "UnauthorizedOperation"
    simulated_aws.fault("CreateSnapshots", "denied", dry_run=False)
    assert outcome(dry_run=True) == "DryRunOperation"
    assert outcome(dry_run=False) == "UnauthorizedOperation"
    assert simulated_aws.snapshots() == []


def test_a_lost_answer_leaves_the_deed_done(simulated_aws: SimulatedAws) -> None:
    instance = simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", "lost_answer")
    with pytest.raises(ConnectionClosedError):
        fire(simulated_aws, instance.instance_id)
    assert len(simulated_aws.snapshots()) == 1
    assert simulated_aws.calls()[-1].outcome == "dropped"


@pytest.mark.parametrize("deed", [False, True])
def test_a_call_that_hangs_gets_no_answer_and_is_done_only_where_wanted(
    simulated_aws: SimulatedAws, deed: bool
) -> None:
    instance = simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", "hang", seconds=30, deed=deed)
    with pytest.raises(ReadTimeoutError):
        fire(simulated_aws, instance.instance_id, read_timeout=2)
    assert [each.outcome for each in simulated_aws.calls()] == ["serving"]
    assert len(simulated_aws.snapshots()) == int(deed)
    simulated_aws.clear_faults()
    assert len(simulated_aws.snapshots()) == int(deed)


def test_a_call_that_hangs_loses_its_connection_when_faults_are_cleared(
    simulated_aws: SimulatedAws,
) -> None:
    instance = simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", "hang", seconds=60)

    def clear_once_it_hangs() -> None:
        until = time.monotonic() + 40
        while "serving" not in {call.outcome for call in simulated_aws.calls()}:
            if time.monotonic() > until:
                return
            time.sleep(0.05)
        simulated_aws.clear_faults()

    clearer = threading.Thread(target=clear_once_it_hangs)
    clearer.start()
    started = time.monotonic()
    with pytest.raises(ConnectionClosedError):
        fire(simulated_aws, instance.instance_id)
    assert time.monotonic() - started < 50
    clearer.join()


def test_a_slow_call_is_done_late_and_answered_as_ever(simulated_aws: SimulatedAws) -> None:
    instance = simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", "slow", seconds=0.5)
    started = time.time()
    assert fire(simulated_aws, instance.instance_id)
    assert simulated_aws.snapshots()[0].created_at.timestamp() >= started + 0.5
    assert 0.5 <= simulated_aws.calls()[-1].service_seconds < 20


def test_an_error_after_the_deed_leaves_it_done(simulated_aws: SimulatedAws) -> None:
    instance = simulated_aws.add_instance()
    simulated_aws.fault("CreateSnapshots", "error_500", deed=True)
    with pytest.raises(ClientError):
        fire(simulated_aws, instance.instance_id)
    assert len(simulated_aws.snapshots()) == 1


def test_latency_is_set_per_action_and_the_deed_lies_where_wanted(
    simulated_aws: SimulatedAws,
) -> None:
    late, early = simulated_aws.add_instance(), simulated_aws.add_instance()
    simulated_aws.configure(latency_seconds={"CreateSnapshots": 0.4})
    started = time.time()
    fire(simulated_aws, late.instance_id)
    assert 0.4 <= simulated_aws.calls()[-1].service_seconds < 20
    assert simulated_aws.snapshots()[0].created_at.timestamp() >= started + 0.4
    simulated_aws.configure(copy_moment=0.0)
    fire(simulated_aws, early.instance_id)
    done = time.time()
    assert simulated_aws.snapshots()[1].created_at.timestamp() <= done - 0.4


def test_a_fault_that_does_not_exist_is_refused(simulated_aws: SimulatedAws) -> None:
    with pytest.raises(SimulatorError, match="There is no fault 'fire'"):
        simulated_aws.fault("CreateSnapshots", "fire")  # type: ignore[arg-type]
