"""The record of the IAM actions that the product and the agents use."""

from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws
from n2wbackup.demo.aws.permissions import VARIABLE
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.domain.errors import NotPermittedError
from policies.ports import Credentials
from tests.contract.aws_clients import ec2
from tests.contract.clouds import REGION, enter, wanted


def test_the_products_and_the_agents_actions_are_recorded_once_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "record"
    record.write_text("product ec2:ByAnother\n")
    monkeypatch.setenv(VARIABLE, str(record))
    with SimulatedAws(tmp_path / "aws") as aws:
        enter(aws, monkeypatch, tmp_path)
        ec2(aws).describe_regions()
        cloud = Ec2Cloud(Clients(Credentials()))
        for _ in range(2):
            cloud.volumes(REGION, ["vol-0123456789abcdef0"])
        cloud.caller(REGION)  # AWS allows it to everybody, so no document has to
        aws.add_account("AKIALIMITEDLIMITED00", "a-secret", ["ec2:CreateTags"])
        limited = Ec2Cloud(Clients(Credentials("AKIALIMITEDLIMITED00", "a-secret")))
        with pytest.raises(NotPermittedError):
            limited.prove(wanted(volume_id=aws.add_volume(REGION)))
        aws.add_instance(REGION)
        assert not any("instance" in line for line in record.read_text().splitlines())
        aws.add_instance(REGION, folder=tmp_path)

    assert record.read_text().splitlines() == [
        "product ec2:ByAnother",
        "product ec2:DescribeVolumes",
        "product ec2:CreateSnapshot",
        "product ec2:CreateTags",
        "instance ssm:UpdateInstanceInformation",
        "instance ssmmessages:CreateControlChannel",
        "instance ssmmessages:OpenControlChannel",
    ]
