"""SSM's adapter on the simulated AWS: what the runner's Protocol promises, and what the SSM page asks."""

from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws, SimulatedInstance
from policies.adapters.clients import Clients
from policies.adapters.ssm import SsmAgents, SsmCommands
from policies.domain.errors import NotFoundError, NotPermittedError, RejectedError
from policies.ports import Credentials
from scripts_admin.runners.ssm import AnswerLostError, Client, Invocation, NotSentError
from tests.contract.clouds import REGION
from tests.contract.test_simulated_aws import wait_until


@pytest.fixture
def instance(aws: SimulatedAws, tmp_path: Path) -> SimulatedInstance:
    folder = tmp_path / "disk"
    folder.mkdir()
    return aws.add_instance(REGION, folder=folder)


def commands() -> SsmCommands:
    return SsmCommands(Clients(Credentials()), REGION)


def ended(client: Client, command_id: str) -> Invocation:
    found: list[Invocation] = []

    def has_ended() -> bool:
        found[:] = client.look([command_id])
        return bool(found) and found[0].status in {"Success", "Failed", "TimedOut", "Cancelled"}

    wait_until(has_ended)
    return found[0]


def test_a_command_is_sent_with_all_that_one_failure_must_not_stop(
    aws: SimulatedAws, instance: SimulatedInstance
) -> None:
    client = commands()
    sent = client.send([instance.instance_id], "echo out; exit 3", "n2wbackup run " + "x" * 200)
    found = ended(client, sent)
    assert (found.instance_id, found.status) == (instance.instance_id, "Failed")
    assert found.text.startswith("out")
    assert client.printed(sent, instance.instance_id).text == "out\n"
    given = aws.calls("SendCommand")[0].parameters
    assert (given["TimeoutSeconds"], given["MaxErrors"], given["MaxConcurrency"]) == (
        30,
        "100%",
        "100%",
    )


def test_commands_with_different_texts_are_asked_for_in_one_call(
    aws: SimulatedAws, instance: SimulatedInstance
) -> None:
    client = commands()
    client.send([instance.instance_id], "true", "before")
    sent = [client.send([instance.instance_id], f"echo {n}", "x") for n in range(2)]
    wait_until(lambda: [each.status for each in client.look(sent)] == ["Success", "Success"])
    assert sorted(each.text for each in client.look(sent)) == ["0\n", "1\n"]
    aws.forget_calls()
    client.look(sent)
    assert len(aws.calls("ListCommandInvocations")) == 1


def test_a_refusal_names_the_instances_because_of_which_nothing_was_sent(
    aws: SimulatedAws, instance: SimulatedInstance
) -> None:
    bare = aws.add_instance(REGION)
    with pytest.raises(NotSentError) as raised:
        commands().send([instance.instance_id, bare.instance_id], "true", "x")
    assert raised.value.instances == {bare.instance_id}


def test_what_may_have_been_sent_is_told_from_what_was_not(
    aws: SimulatedAws, instance: SimulatedInstance
) -> None:
    client = commands()
    aws.fault("SendCommand", "throttle")
    with pytest.raises(NotSentError) as raised:
        client.send([instance.instance_id], "true", "x")
    assert raised.value.again
    aws.fault("SendCommand", "denied")
    with pytest.raises(NotSentError) as raised:
        client.send([instance.instance_id], "true", "x")
    assert not raised.value.again
    assert "ssm:SendCommand" in str(raised.value)
    for kind in ("lost_answer", "error_500"):
        aws.fault("SendCommand", kind)
        with pytest.raises(AnswerLostError):
            client.send([instance.instance_id], "true", "x")
    assert len(aws.calls("SendCommand")) == 4


def test_outputs_are_marked_where_ssm_cuts_them_and_whole_elsewhere(
    instance: SimulatedInstance,
) -> None:
    long = "i=0; while [ $i -lt 300 ]; do printf '%099d\\n' $i; i=$((i+1)); done"
    client = commands()
    sent = client.send([instance.instance_id], long, "x")
    ended(client, sent)
    printed = client.printed(sent, instance.instance_id)
    assert printed.is_cut
    assert len(printed.text) < 24_000
    assert "truncated" not in printed.text


def test_agents_are_told_with_what_the_page_shows(
    aws: SimulatedAws, instance: SimulatedInstance, tmp_path: Path
) -> None:
    agents = SsmAgents(Clients(Credentials()))
    old = aws.add_instance(REGION, folder=tmp_path).instance_id
    aws.describe_agent(old, version="2.3.68.0", platform="Windows")
    aws.set_agent(old, "lost")
    found = agents.managed(REGION)
    assert {each: found[each].ping for each in found} == {
        instance.instance_id: "Online",
        old: "ConnectionLost",
    }
    assert (found[old].platform_type, found[old].agent_version) == ("Windows", "2.3.68.0")
    assert set(agents.managed(REGION, [old])) == {old}
    assert set(agents.managed(REGION, [*(f"i-{n:017x}" for n in range(60)), old])) == {old}
    assert found[old].pinged_at is not None


def test_a_role_is_told_with_its_policies(aws: SimulatedAws, instance: SimulatedInstance) -> None:
    agents = SsmAgents(Clients(Credentials()))
    aws.set_role(instance.instance_id, "app", ["AmazonSSMManagedInstanceCore"], region=REGION)
    arn = "arn:aws:iam::123456789012:instance-profile/path/app"
    assert agents.role_of(arn, REGION) == ("app", ("AmazonSSMManagedInstanceCore",))
    with pytest.raises((NotFoundError, RejectedError)):
        agents.role_of("arn:aws:iam::123456789012:instance-profile/gone", REGION)
    aws.fault("ListAttachedRolePolicies", "denied")
    with pytest.raises(NotPermittedError, match="iam:ListAttachedRolePolicies"):
        agents.role_of(arn, REGION)
