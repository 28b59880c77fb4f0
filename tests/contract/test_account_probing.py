"""An account's test, against the simulated AWS: as AWS answers, so it is told."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from n2wbackup.lib import home
from policies.adapters import session
from policies.models import Account
from policies.services.entry import accounts as enrolling
from policies.services.entry import probing
from policies.services.entry.probing import Result
from policies.services.window import credentials
from tests import factories
from tests.contract.clouds import REGION, SECONDS, enter, wanted

pytestmark = pytest.mark.django_db
ROLE = "arn:aws:iam::210987654321:role/backup"
LISTING = ["ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeSnapshots"]
EVERYTHING = [*LISTING, "ec2:CreateSnapshots", "ec2:CreateSnapshot", "ec2:CreateTags"]


@pytest.fixture
def aws(
    simulated_aws: SimulatedAws,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Settings,
) -> SimulatedAws:
    settings.N2W_HOME = tmp_path
    enter(simulated_aws, monkeypatch, tmp_path)
    return simulated_aws


@pytest.fixture
def account(aws: SimulatedAws) -> Account:
    made = Account(
        owner=factories.alice(), name="theirs", auth="role", role_arn=ROLE, region=REGION
    )
    enrolling.save(made)
    aws.add_role(ROLE, made.external_id, EVERYTHING)
    return made


def results(report: probing.Probe) -> dict[str, Result]:
    return {each.permission: each.result for each in report.answers}


def test_a_role_with_all_that_the_product_needs_is_good_and_nothing_is_made(
    aws: SimulatedAws, account: Account
) -> None:
    instance = aws.add_instance(REGION, [VolumeSpec()])
    tags = {"n2wbackup:server": home.server_id()}
    cloud = session.cloud(credentials.of(account))
    cloud.fire(wanted(instance.instance_id, tags=tags), SECONDS)

    report = probing.probe(account)

    assert results(report) == dict.fromkeys(["sts:AssumeRole", *EVERYTHING], Result.GRANTED)
    assert report.aws_account_id == "210987654321"
    assert len(aws.snapshots()) == 1
    assert "n2wbackup:state" not in aws.snapshots()[0].tags


@pytest.mark.parametrize("missing", EVERYTHING)
def test_a_permission_that_the_role_lacks_is_told_by_its_name(
    aws: SimulatedAws, account: Account, missing: str
) -> None:
    aws.add_instance(REGION, [VolumeSpec()])
    allowed = [each for each in EVERYTHING if each != missing]
    aws.add_role(ROLE, account.external_id, allowed)
    said = StringIO()

    with pytest.raises(CommandError, match=f"lack the permission {missing}: allow it"):
        call_command("test_account", "alice/theirs", "--json", stdout=said)

    answers = json.loads(said.getvalue())["permissions"]
    assert {a["permission"] for a in answers if a["result"] == "missing"} == {missing}
    assert aws.snapshots() == []


def test_a_role_that_does_not_trust_says_what_to_write_there(
    aws: SimulatedAws, account: Account
) -> None:
    aws.add_role(ROLE, "another", EVERYTHING)

    report = probing.probe(account)

    assert results(report) == {"sts:AssumeRole": Result.MISSING}
    assert f'"StringEquals": {{"sts:ExternalId": "{account.external_id}"}}' in report.problems[0]


def test_a_region_that_is_off_is_told_with_keys(aws: SimulatedAws) -> None:
    aws.configure(regions_off=["eu-south-2"])
    account = Account(
        owner=factories.alice(),
        name="lab",
        access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        region="eu-south-2",
    )
    enrolling.save(account)

    report = probing.probe(account)

    assert not report.is_good
    assert "that the region eu-south-2 is switched on" in report.problems[0]


def test_wrong_keys_are_told(aws: SimulatedAws) -> None:
    account = factories.AccountFactory.create(owner=factories.alice())

    report = probing.probe(account)

    assert results(report) == {"sts:GetCallerIdentity": Result.FAILED}
    assert "AWS did not accept the access key" in report.problems[0]
