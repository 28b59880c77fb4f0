"""SSM of the simulated AWS: its limits, its agents' troubles, and where outputs go."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from n2wbackup.demo.aws import SimulatedAws, SimulatedInstance
from tests.contract.aws_clients import client_of, refused
from tests.contract.test_simulated_aws import wait_until
from tests.contract.test_simulated_aws_ssm import client, instance, outcome, send, status_of

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

__all__ = ["client", "instance"]


def send_to(client: "SSMClient", ids: list[str], *lines: str, **options: Any) -> str:
    answer = client.send_command(
        InstanceIds=ids,
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": list(lines)},
        **options,
    )
    return answer["Command"]["CommandId"]


def details(client: "SSMClient", sent: str) -> dict[str, str]:
    rows = client.list_command_invocations(CommandId=sent)["CommandInvocations"]
    return {each["InstanceId"]: each["StatusDetails"] for each in rows}


def test_an_agent_runs_five_commands_at_a_time(
    client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    lines = ("mktemp start.XXXXXX", "while [ ! -e go ]; do sleep 0.02; done")
    sent = [send(client, instance, *lines) for _ in range(6)]
    wait_until(lambda: len(list(tmp_path.glob("start.*"))) == 5)
    wait_until(lambda: {status_of(client, instance, each) for each in sent} == {"InProgress"})
    assert len(list(tmp_path.glob("start.*"))) == 5
    (tmp_path / "go").touch()
    assert {outcome(client, instance, each)["Status"] for each in sent} == {"Success"}


def test_a_restarted_agent_takes_commands_and_reports_later(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    running = send(
        client, instance, "touch began; while [ ! -e go ]; do sleep 0.02; done; touch ended"
    )
    wait_until((tmp_path / "began").exists)
    simulated_aws.restart_agent(instance.instance_id)  # 90 s
    (tmp_path / "go").touch()
    wait_until((tmp_path / "ended").exists)
    later = send(client, instance, "touch ran")
    wait_until(lambda: status_of(client, instance, later) == "Delayed")
    assert status_of(client, instance, running) == "InProgress"
    simulated_aws.configure(ssm_restart_seconds=0.0)
    simulated_aws.restart_agent(instance.instance_id)
    assert outcome(client, instance, running)["Status"] == "Success"
    assert outcome(client, instance, later)["Status"] == "Success"


def test_a_frozen_agent_never_starts_a_command_nor_tells_of_an_end(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    running = send(
        client, instance, "touch began; while [ ! -e go ]; do sleep 0.02; done; touch ended"
    )
    wait_until((tmp_path / "began").exists)
    simulated_aws.set_agent(instance.instance_id, "frozen")
    later = send(client, instance, "touch ran")
    (tmp_path / "go").touch()
    wait_until((tmp_path / "ended").exists)
    wait_until(lambda: status_of(client, instance, later) == "InProgress")
    assert status_of(client, instance, running) == "InProgress"
    assert not (tmp_path / "ran").exists()
    simulated_aws.set_agent(instance.instance_id, "online")
    for each in (running, later):
        assert outcome(client, instance, each)["Status"] == "Success"


def test_the_agent_keeps_each_command_in_its_folder_before_it_runs(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    kept = tmp_path / "agent"
    simulated_aws.describe_agent(instance.instance_id, folder=kept)
    sent = send(client, instance, f"cat {kept}/*/document")
    assert f"cat {kept}" in outcome(client, instance, sent)["StandardOutputContent"]
    assert (kept / sent / "result").read_text() == "Success"


def test_timeout_seconds_bounds_only_the_start(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    with pytest.raises((ClientError, ParamValidationError)):
        send(client, instance, "true", delivery_seconds=29)
    simulated_aws.configure(ssm_second=0.001)  # 30 s are 0.03
    slow = send(client, instance, "sleep 0.5", delivery_seconds=30)
    if outcome(client, instance, slow)["StatusDetails"] != "DeliveryTimedOut":  # a loaded machine
        assert outcome(client, instance, slow)["Status"] == "Success"
    simulated_aws.set_agent(instance.instance_id, "lost")
    short = {"executionTimeout": ["5"]}  # it is told as undelivered after both timeouts together
    sent = send(client, instance, "touch ran", delivery_seconds=30, parameters=short)
    wait_until(lambda: details(client, sent)[instance.instance_id] == "DeliveryTimedOut")
    simulated_aws.set_agent(instance.instance_id, "online")
    assert not (tmp_path / "ran").exists()


def test_one_error_ends_the_sending_unless_max_errors_allows_more(
    simulated_aws: SimulatedAws, client: "SSMClient", tmp_path: Path
) -> None:
    ids = [simulated_aws.add_instance(folder=tmp_path).instance_id for _ in range(3)]
    simulated_aws.set_agent(ids[2], "lost")
    script = f"[ $AWS_SSM_INSTANCE_ID != {ids[0]} ]"
    stopped = send_to(client, ids, script)
    wait_until(lambda: details(client, stopped).get(ids[2]) == "Terminated")
    assert details(client, stopped)[ids[0]] == "Failed"
    sent = send_to(client, ids, script, MaxErrors="100%", MaxConcurrency="100%")
    wait_until(lambda: details(client, sent)[ids[0]] == "Failed")
    assert details(client, sent)[ids[2]] in {"Pending", "Delayed"}
    simulated_aws.set_agent(ids[2], "online")
    wait_until(lambda: details(client, sent)[ids[2]] == "Success")


def test_max_concurrency_lets_the_others_wait(
    simulated_aws: SimulatedAws, client: "SSMClient", tmp_path: Path
) -> None:
    ids = [simulated_aws.add_instance(folder=tmp_path).instance_id for _ in range(3)]
    lines = ("mktemp start.XXXXXX", "while [ ! -e go ]; do sleep 0.02; done")
    sent = send_to(client, ids, *lines, MaxConcurrency="1")
    wait_until(
        lambda: sorted(details(client, sent).values()) == ["InProgress", "Pending", "Pending"]
    )
    (tmp_path / "go").touch()
    wait_until(lambda: set(details(client, sent).values()) == {"Success"})


def test_names_of_parameter_store_are_expanded(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance
) -> None:
    simulated_aws.set_parameter("/app/word", "expanded")
    sent = send(client, instance, "echo '{{ssm:/app/word}} {{ other }}'")
    assert outcome(client, instance, sent)["StandardOutputContent"] == "expanded {{ other }}\n"
    with pytest.raises(ClientError) as raised:
        send(client, instance, "echo '{{ssm:missing}}'")
    assert refused(raised) == ("InvalidParameters", 400)


def test_what_is_too_long_or_named_twice_is_refused(
    client: "SSMClient", instance: SimulatedInstance
) -> None:
    with pytest.raises(ClientError) as raised:
        send(client, instance, "x" * 70_000)
    assert refused(raised) == ("MaxDocumentSizeExceeded", 400)
    with pytest.raises(ClientError) as raised:
        send_to(client, [instance.instance_id] * 2, "true")
    assert refused(raised) == ("DuplicateInstanceId", 400)
    with pytest.raises(ClientError) as raised:
        send(client, instance, "true", parameters={"executionTimeout": ["soon"]})
    assert refused(raised) == ("InvalidParameters", 400)


def test_a_cancelled_command_that_no_agent_has_never_starts(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    simulated_aws.set_agent(instance.instance_id, "lost")
    sent = send(client, instance, "touch ran")
    client.cancel_command(CommandId=sent)
    found = outcome(client, instance, sent)
    assert (found["Status"], found["ResponseCode"]) == ("Cancelled", -1)
    simulated_aws.set_agent(instance.instance_id, "online")
    assert not (tmp_path / "ran").exists()


def test_commands_to_one_instance_can_be_delayed(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance, tmp_path: Path
) -> None:
    simulated_aws.delay_commands(instance.instance_id, 3600)
    late = send(client, instance, "touch ran", delivery_seconds=7200)
    simulated_aws.delay_commands(instance.instance_id, 0)
    assert outcome(client, instance, send(client, instance, "true"))["Status"] == "Success"
    assert status_of(client, instance, late) == "Pending"
    assert not (tmp_path / "ran").exists()


def test_whole_outputs_go_to_s3_and_to_cloudwatch(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance
) -> None:
    lines = "i=0; while [ $i -lt 300 ]; do printf '%099d\\n' $i; i=$((i+1)); done"
    sent = send_to(
        client,
        [instance.instance_id],
        lines,
        OutputS3BucketName="outputs",
        OutputS3KeyPrefix="n2w",
        CloudWatchOutputConfig={"CloudWatchOutputEnabled": True},
    )
    found = outcome(client, instance, sent)
    key = f"n2w/{sent}/{instance.instance_id}/awsrunShellScript/0.awsrunShellScript/stdout"
    assert found["StandardOutputUrl"].endswith(f"/outputs/{key}")
    body = client_of(simulated_aws, "s3").get_object(Bucket="outputs", Key=key)["Body"].read()
    assert len(body) == 30_000
    logs = client_of(simulated_aws, "logs")
    events = logs.get_log_events(
        logGroupName="/aws/ssm/AWS-RunShellScript",
        logStreamName=f"{sent}/{instance.instance_id}/aws-runShellScript/stdout",
        startFromHead=True,
    )
    assert "".join(each["message"] for each in events["events"]).encode() == body
    with pytest.raises(ClientError) as raised:
        client_of(simulated_aws, "s3").get_object(Bucket="outputs", Key=f"{key}-not")
    assert refused(raised) == ("NoSuchKey", 404)


def test_agents_and_roles_are_described(
    simulated_aws: SimulatedAws, client: "SSMClient", instance: SimulatedInstance
) -> None:
    simulated_aws.describe_agent(instance.instance_id, version="2.3.68.0", platform="Windows")
    shown = client.describe_instance_information()["InstanceInformationList"][0]
    assert (shown["AgentVersion"], shown["PlatformType"]) == ("2.3.68.0", "Windows")
    simulated_aws.set_role(instance.instance_id, "app", ["AmazonSSMManagedInstanceCore"])
    ec2 = client_of(simulated_aws, "ec2")
    row = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    assert row["IamInstanceProfile"]["Arn"].endswith(":instance-profile/app")
    iam = client_of(simulated_aws, "iam")
    profile = iam.get_instance_profile(InstanceProfileName="app")["InstanceProfile"]
    role = profile["Roles"][0]["RoleName"]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [each["PolicyName"] for each in attached] == ["AmazonSSMManagedInstanceCore"]
    with pytest.raises(ClientError) as raised:
        iam.get_instance_profile(InstanceProfileName="missing")
    assert refused(raised) == ("NoSuchEntity", 404)
