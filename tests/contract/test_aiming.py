"""A call in three parts: prepared without AWS, sent once, and read when there is time."""

import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.adapters import aiming
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.adapters.translate import Call
from policies.domain.errors import AnswerLostError, ThrottledError
from policies.ports import Cloud, Credentials
from tests.contract.clouds import REGION, SECONDS, SERVER, Ground, wanted


def test_aiming_makes_nothing_and_each_sending_makes_it_once(ground: Ground) -> None:
    instance_id, *volume_ids = ground.add_instance(volumes=2)
    request = wanted(instance_id)

    aimed = ground.cloud.aim(request)

    assert ground.cloud.of_run(REGION, SERVER, "a-run") == []
    made = aimed(SECONDS)()
    assert {each.volume_id for each in made} == set(volume_ids)
    found = ground.cloud.of_run(REGION, SERVER, "a-run")
    assert {each.snapshot_id for each in found} == {each.snapshot_id for each in made}


def test_a_refusal_is_known_when_the_answer_is_here_and_the_same_call_can_be_sent_again(
    ground: Ground,
) -> None:
    _, volume_id = ground.add_instance(volumes=1)
    aimed = ground.cloud.aim(wanted(volume_id=volume_id))
    instance_id, *_ = ground.add_instance(volumes=1)
    refused = ground.cloud.aim(wanted(instance_id))
    ground.fail_fire("throttled")

    with pytest.raises(ThrottledError):
        refused(SECONDS)

    assert ground.cloud.of_run(REGION, SERVER, "a-run") == []
    assert len(refused(SECONDS)()) == 1
    assert [each.volume_id for each in aimed(SECONDS)()] == [volume_id]


def test_aiming_asks_aws_nothing(aws: SimulatedAws, cloud: Cloud) -> None:
    aws.forget_calls()

    cloud.aim(wanted("i-0123456789abcdef0"))

    assert aws.calls() == []


def test_an_answer_that_cannot_be_read_is_here_all_the_same(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    made = aws.add_instance(REGION, [VolumeSpec()])
    aws.configure(left_out_fields=["volumeId"])

    answer = cloud.aim(wanted(made.instance_id))(SECONDS)

    assert len(aws.snapshots()) == 1
    with pytest.raises(AnswerLostError, match="could not be read"):
        answer()


@pytest.mark.parametrize("clock", [0, 1])
@pytest.mark.parametrize(("later", "signs"), [(59.0, 1), (61.0, 2), (-1.0, 2)])
def test_what_was_signed_long_ago_or_by_another_clock_is_signed_again(
    aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch, clock: int, later: float, signs: int
) -> None:
    made = aws.add_instance(REGION, [VolumeSpec()])
    clients = Clients(Credentials())
    signed: list[str] = []
    events = clients.firing(Call("CreateSnapshots", "", REGION)).meta.events
    events.register("before-sign.ec2", lambda **of: signed.append(of["operation_name"]))
    clocks = [1000.0, 1000.0]
    monkeypatch.setattr(aiming, "_clocks", lambda: tuple(clocks))

    aimed = Ec2Cloud(clients).aim(wanted(made.instance_id))
    clocks[clock] += later
    aimed(SECONDS)

    assert signed == ["CreateSnapshots"] * signs
    assert len(aws.snapshots()) == 1
