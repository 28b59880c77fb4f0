"""SSM of the simulated AWS: scripts really run, in the folder that stands for the instance."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from n2wbackup.demo.aws import SimulatedAws, SimulatedInstance
from tests.contract.aws_clients import refused, ssm
from tests.contract.test_simulated_aws import is_alive, wait_until

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import GetCommandInvocationResultTypeDef


# Leaves a process in a session of its own, with the script's streams, until the file "end" appears.
LEFT = (
    "setsid sh -c 'echo $$ > left.new; mv left.new left; while [ ! -e end ]; do sleep 0.05; done' &"
)


@pytest.fixture
def instance(simulated_aws: SimulatedAws, tmp_path: Path) -> SimulatedInstance:
    return simulated_aws.add_instance(folder=tmp_path)


@pytest.fixture
def client(simulated_aws: SimulatedAws) -> "SSMClient":
    simulated_aws.configure(ssm_unknown_seconds=0.0, ssm_delivery_seconds=0.01)
    return ssm(simulated_aws)


def send(
    client: "SSMClient",
    instance: SimulatedInstance,
    *lines: str,
    parameters: dict[str, list[str]] | None = None,
    delivery_seconds: int = 600,
) -> str:
    answer = client.send_command(
        InstanceIds=[instance.instance_id],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": list(lines), **(parameters or {})},
        TimeoutSeconds=delivery_seconds,
    )
    return answer["Command"]["CommandId"]


def outcome(
    client: "SSMClient", instance: SimulatedInstance, command_id: str
) -> "GetCommandInvocationResultTypeDef":
    """Wait for the end of a command."""
    deadline = time.monotonic() + 60
    while True:
        found = client.get_command_invocation(CommandId=command_id, InstanceId=instance.instance_id)
        if found["Status"] not in {"Pending", "InProgress", "Cancelling"}:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status_of(client: "SSMClient", instance: SimulatedInstance, command_id: str) -> str:
    return client.get_command_invocation(CommandId=command_id, InstanceId=instance.instance_id)[
        "Status"
    ]


def assert_left_alive(folder: Path) -> None:
    """Assert that what LEFT left behind lives, and let it end."""
    wait_until((folder / "left").exists)
    left = int((folder / "left").read_text())
    assert is_alive(left)
    (folder / "end").touch()
    wait_until(lambda: not is_alive(left))


def test_a_script_runs_in_the_folder_of_its_instance(
    client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    lines = ["pwd > here", "echo out; echo err >&2", 'echo "$AWS_SSM_INSTANCE_ID" > id']
    found = outcome(client, instance, send(client, instance, *lines))
    assert (found["Status"], found["ResponseCode"]) == ("Success", 0)
    assert (found["StandardOutputContent"], found["StandardErrorContent"]) == ("out\n", "err\n")
    assert (tmp_path / "here").read_text().strip() == str(tmp_path)
    assert (tmp_path / "id").read_text().strip() == instance.instance_id


def test_a_shebang_and_a_working_directory_are_honoured(
    client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    (tmp_path / "opt").mkdir()
    sent = send(
        client,
        instance,
        "#!/usr/bin/env python3",
        "import os; print(os.path.basename(os.getcwd()))",
        parameters={"workingDirectory": ["/opt"]},
    )
    assert outcome(client, instance, sent)["StandardOutputContent"] == "opt\n"


def test_a_script_that_fails_tells_its_exit_code(
    client: "SSMClient", instance: SimulatedInstance
) -> None:
    found = outcome(client, instance, send(client, instance, "echo no >&2", "exit 7"))
    assert (found["Status"], found["StatusDetails"]) == ("Failed", "Failed")
    assert found["ResponseCode"] == 7


def test_output_is_cut_where_aws_cuts_it(client: "SSMClient", instance: SimulatedInstance) -> None:
    write = "i=0; while [ $i -lt 300 ]; do printf '%0100d' $i; i=$((i+1)); done"
    found = outcome(client, instance, send(client, instance, f"{write}; ({write}) >&2"))
    assert len(found["StandardOutputContent"]) == 24_000
    assert len(found["StandardErrorContent"]) == 8_000
    for stream in ("StandardOutputContent", "StandardErrorContent"):
        assert found[stream].endswith("--output truncated--")


def test_a_command_is_in_progress_while_its_script_runs_and_shows_no_output_yet(
    client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    sent = send(client, instance, "echo out", "while [ ! -e go ]; do sleep 0.02; done")

    def status() -> str:
        found = client.get_command_invocation(CommandId=sent, InstanceId=instance.instance_id)
        assert found["StandardOutputContent"] == ""
        return found["Status"]

    wait_until(lambda: status() == "InProgress")
    (tmp_path / "go").touch()
    assert outcome(client, instance, sent)["StandardOutputContent"] == "out\n"


def test_a_timeout_ends_the_scripts_group_and_what_left_it_lives_on(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    simulated_aws.configure(ssm_second=0.2)
    lines = ["echo out; sleep 60 & echo $! > child", f"{LEFT} wait"]
    sent = send(client, instance, *lines, parameters={"executionTimeout": ["5"]})
    found = outcome(client, instance, sent)
    assert (found["Status"], found["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert (found["ResponseCode"], found["StandardOutputContent"]) == (137, "")
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_alive(child))
    assert_left_alive(tmp_path)


def test_a_timeout_that_is_too_short_for_the_agent_is_not_used(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance
) -> None:
    simulated_aws.configure(ssm_second=0.01)
    sent = send(client, instance, "sleep 0.3", parameters={"executionTimeout": ["4"]})
    assert outcome(client, instance, sent)["Status"] == "Success"


def test_a_command_lasts_until_everyone_has_closed_its_output(
    client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    sent = send(client, instance, f"{LEFT} echo out; echo ended > main")
    wait_until((tmp_path / "main").exists)
    found = client.get_command_invocation(CommandId=sent, InstanceId=instance.instance_id)
    assert found["Status"] == "InProgress"
    (tmp_path / "end").touch()
    assert outcome(client, instance, sent)["StandardOutputContent"] == "out\n"


def test_what_closed_the_output_delays_nothing_and_lives_on(
    client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    found = outcome(client, instance, send(client, instance, f"({LEFT}) >/dev/null 2>&1"))
    assert found["Status"] == "Success"
    assert_left_alive(tmp_path)


def test_a_cancelled_command_ends_and_what_left_its_group_lives_on(
    client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    sent = send(client, instance, f"{LEFT} sleep 60")
    wait_until((tmp_path / "left").exists)
    client.cancel_command(CommandId=sent)
    found = outcome(client, instance, sent)
    assert (found["Status"], found["ResponseCode"]) == ("Cancelled", 137)
    assert_left_alive(tmp_path)
    with pytest.raises(ClientError) as raised:
        client.cancel_command(CommandId="0" * 36)
    assert refused(raised) == ("InvalidCommandId", 400)


def test_a_script_that_says_137_counts_as_one_that_was_killed(
    client: "SSMClient", instance: SimulatedInstance
) -> None:
    found = outcome(client, instance, send(client, instance, "exit 137"))
    assert (found["Status"], found["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_a_command_is_not_known_at_once(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance
) -> None:
    simulated_aws.configure(ssm_unknown_seconds=3.0)
    sent = send(client, instance, "true")
    with pytest.raises(ClientError) as raised:
        client.get_command_invocation(CommandId=sent, InstanceId=instance.instance_id)
    assert refused(raised) == ("InvocationDoesNotExist", 400)
    assert client.list_command_invocations(CommandId=sent)["CommandInvocations"] == []
    simulated_aws.configure(ssm_unknown_seconds=0.0)
    assert outcome(client, instance, sent)["Status"] == "Success"


def test_invocations_are_listed_by_command_and_page_by_page(
    simulated_aws: SimulatedAws, client: "SSMClient", tmp_path: Path
) -> None:
    ids = [simulated_aws.add_instance(folder=tmp_path).instance_id for _ in range(3)]
    sent = client.send_command(
        InstanceIds=ids,
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": ["echo $AWS_SSM_INSTANCE_ID"]},
    )["Command"]["CommandId"]

    def pages(status: str = "Success", *, details: bool = False) -> list[Any]:
        found = client.get_paginator("list_command_invocations").paginate(
            CommandId=sent,
            Details=details,
            Filters=[{"key": "Status", "value": status}],
            PaginationConfig={"PageSize": 2},
        )
        return [each for page in found for each in page["CommandInvocations"]]

    wait_until(lambda: len(pages()) == 3)
    assert [each["InstanceId"] for each in pages()] == ids
    outputs = [each["CommandPlugins"][0]["Output"].strip() for each in pages(details=True)]
    assert outputs == ids
    assert pages("Failed") == []


def test_instances_with_an_agent_are_shown_online(
    simulated_aws: SimulatedAws, client: "SSMClient", tmp_path: Path
) -> None:
    managed = [simulated_aws.add_instance(folder=tmp_path).instance_id for _ in range(7)]
    simulated_aws.add_instance()
    stopped = simulated_aws.add_instance(folder=tmp_path, state="stopped").instance_id
    simulated_aws.set_agent(managed[0], "lost")
    pages = client.get_paginator("describe_instance_information").paginate(
        PaginationConfig={"PageSize": 5}
    )
    shown = {
        each.get("InstanceId"): each.get("PingStatus")
        for page in pages
        for each in page["InstanceInformationList"]
    }
    assert set(shown) == {*managed, stopped}
    assert {each for each, status in shown.items() if status != "Online"} == {managed[0], stopped}
    online = client.describe_instance_information(
        Filters=[
            {"Key": "InstanceIds", "Values": managed[:2]},
            {"Key": "PingStatus", "Values": ["Online"]},
        ]
    )["InstanceInformationList"]
    assert [each.get("InstanceId") for each in online] == [managed[1]]


def test_nothing_is_sent_to_what_ssm_does_not_manage(
    simulated_aws: SimulatedAws, client: "SSMClient", tmp_path: Path
) -> None:
    bare = simulated_aws.add_instance()
    stopped = simulated_aws.add_instance(folder=tmp_path, state="stopped")
    for each in (bare, stopped):
        with pytest.raises(ClientError) as raised:
            send(client, each, "touch ran")
        assert refused(raised) == ("InvalidInstanceId", 400)
    with pytest.raises(ClientError) as raised:
        client.send_command(InstanceIds=[bare.instance_id], DocumentName="AWS-RunPatchBaseline")
    assert refused(raised) == ("InvalidDocument", 400)
    assert not (tmp_path / "ran").exists()


def test_a_lost_agent_takes_no_command_and_a_silent_one_reports_when_it_is_back(
    simulated_aws: SimulatedAws,
    client: "SSMClient",
    instance: SimulatedInstance,
    tmp_path: Path,
) -> None:
    simulated_aws.set_agent(instance.instance_id, "lost")
    sent = send(client, instance, "touch ran", delivery_seconds=30)
    wait_until(lambda: status_of(client, instance, sent) == "Delayed")
    assert not (tmp_path / "ran").exists()
    simulated_aws.set_agent(instance.instance_id, "online")
    assert outcome(client, instance, sent)["Status"] == "Success"
    simulated_aws.set_agent(instance.instance_id, "silent")
    sent = send(client, instance, "touch ran-too")
    wait_until((tmp_path / "ran-too").exists)
    assert status_of(client, instance, sent) == "InProgress"
    simulated_aws.set_agent(instance.instance_id, "online")
    assert outcome(client, instance, sent)["Status"] == "Success"


def test_scripts_end_with_the_simulator(tmp_path: Path) -> None:
    with SimulatedAws(tmp_path / "state") as aws:
        folder = tmp_path / "instance"
        folder.mkdir()
        instance = aws.add_instance(folder=folder)
        send(ssm(aws), instance, "echo $$ > pid.new; mv pid.new pid; sleep 60")
        wait_until((folder / "pid").exists)
        pid = int((folder / "pid").read_text())
        assert is_alive(pid)
    wait_until(lambda: not is_alive(pid))
