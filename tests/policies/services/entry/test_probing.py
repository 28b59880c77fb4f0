"""The test of an account names each missing permission, and each that could not be tried."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from n2wbackup.lib import home
from policies.domain.errors import CredentialsError, NotFoundError, RegionError, UnreachableError
from policies.models import Account, PolicyTarget
from policies.ports import FireRequest
from policies.services.entry import accounts, probing
from policies.services.entry.probing import Result
from scripts_admin import permissions
from tests import factories
from tests.policies.services.backup import Backup, is_one_sentence

ALL = [
    *("sts:GetCallerIdentity", "ec2:DescribeInstances", "ec2:DescribeVolumes"),
    *("ec2:DescribeSnapshots", "ec2:CreateSnapshots", "ec2:CreateSnapshot", "ec2:CreateTags"),
]


def snapshot(backup: Backup, region: str = "us-east-1") -> None:
    """Make a snapshot of this server."""
    volume = backup.cloud.add_volume(region).volume_id
    tags = {"n2wbackup:server": home.server_id()}
    backup.cloud.fire(FireRequest(region, tags, "", volume_id=volume), 10.0)


def results(report: probing.Probe, region: str = "us-east-1") -> dict[str, Result]:
    return {each.permission: each.result for each in report.answers if each.region == region}


def test_an_account_that_may_everything_is_good(backup: Backup) -> None:
    snapshot(backup)
    count = len(backup.cloud.calls)

    report = probing.probe(backup.policy.account)

    assert results(report) == dict.fromkeys(ALL, Result.GRANTED)
    assert report.is_good
    assert (report.aws_account_id, report.arn) == (
        "123456789012",
        "arn:aws:iam::123456789012:user/backup",
    )
    assert {call.method for call in backup.cloud.calls[count:]} == {
        *("caller", "may_list", "may_tag", "any", "prove")
    }


@pytest.mark.parametrize("missing", [each.removeprefix("ec2:") for each in ALL[1:]])
def test_each_missing_permission_is_told_by_its_name(backup: Backup, missing: str) -> None:
    snapshot(backup)
    backup.cloud.denied = {missing}

    report = probing.probe(backup.policy.account)

    assert [a.permission for a in report.answers if a.result == Result.MISSING] == [
        f"ec2:{missing}"
    ] * len(report.problems)
    assert not report.is_good
    for sentence in report.problems:
        assert f"lack the permission ec2:{missing}: allow it" in sentence
        assert is_one_sentence(sentence)


def test_every_region_of_the_policies_targets_is_asked(backup: Backup) -> None:
    factories.PolicyTargetFactory.create(
        policy=backup.policy,
        instance_id=backup.cloud.add_instance("eu-west-1").instance_id,
        region="eu-west-1",
    )
    snapshot(backup)
    snapshot(backup, "eu-west-1")

    report = probing.probe(backup.policy.account)

    assert set(results(report, "eu-west-1").values()) == {Result.GRANTED}
    proved = [call.request for call in backup.calls("prove") if call.request]
    targets = {target.instance_id for target in PolicyTarget.objects.all()}
    assert targets <= {request.instance_id for request in proved}
    assert all(r.tags["n2wbackup:server"] == home.server_id() for r in proved)


def test_what_there_is_nothing_to_try_with_is_told_and_is_no_failure(backup: Backup) -> None:
    PolicyTarget.objects.all().delete()
    backup.cloud.terminate(backup.instance.instance_id)

    report = probing.probe(backup.policy.account)

    untried = {a.permission: a.sentence for a in report.answers if a.result == Result.NOT_TRIED}
    assert set(untried) == {"ec2:CreateSnapshots", "ec2:CreateSnapshot", "ec2:CreateTags"}
    assert untried["ec2:CreateSnapshots"] == (
        "ec2:CreateSnapshots in us-east-1 was not tried: there is no instance in us-east-1 to try it with."
    )
    assert report.is_good


def test_a_target_that_does_not_exist_is_no_missing_permission(backup: Backup) -> None:
    backup.cloud.terminate(backup.instance.instance_id)
    backup.cloud.fail_next("prove", NotFoundError("The instance does not exist."))

    report = probing.probe(backup.policy.account)

    assert results(report)["ec2:CreateSnapshots"] == Result.FAILED
    assert report.problems == ["The instance does not exist."]


def test_wrong_keys_are_one_sentence_and_nothing_else_is_asked(backup: Backup) -> None:
    backup.cloud.fail_next("caller", CredentialsError("Wrong keys.", "InvalidClientTokenId"))

    report = probing.probe(backup.policy.account)

    assert results(report) == {"sts:GetCallerIdentity": Result.FAILED}
    assert report.problems == ["Wrong keys."]
    assert [call.method for call in backup.cloud.calls] == ["caller"]


def test_a_region_that_is_off_ends_the_questions_there(backup: Backup) -> None:
    backup.cloud.fail_next("may_list", RegionError("It is off."))

    report = probing.probe(backup.policy.account)

    assert results(report)["ec2:DescribeInstances"] == Result.FAILED
    assert report.problems == ["It is off."]
    untried = [a for a in report.answers if a.result == Result.NOT_TRIED]
    assert len(untried) == 5
    assert all("us-east-1 does not answer" in each.sentence for each in untried)


def test_keys_need_no_sts(backup: Backup) -> None:
    snapshot(backup)
    backup.cloud.fail_next("caller", UnreachableError("STS is away."))

    report = probing.probe(backup.policy.account)

    assert results(report) == {
        **dict.fromkeys(ALL, Result.GRANTED),
        "sts:GetCallerIdentity": Result.NOT_TRIED,
    }
    assert report.is_good


def test_a_role_that_cannot_be_assumed_lacks_that_permission(backup: Backup) -> None:
    account = Account(
        owner=backup.policy.owner,
        name="role",
        auth="role",
        role_arn="arn:aws:iam::123456789012:role/backup",
    )
    accounts.save(account)
    backup.cloud.fail_next("caller", CredentialsError("Not trusted.", "AccessDenied"))

    report = probing.probe(account)

    assert results(report) == {"sts:AssumeRole": Result.MISSING}
    assert (report.problems, report.external_id) == (["Not trusted."], account.external_id)


def test_the_servers_own_role_is_not_tried_for_whom_it_is_not(backup: Backup) -> None:
    permissions.set_server_role(backup.policy.owner, given=True)
    account = Account(owner=backup.policy.owner, name="own", auth="instance")
    accounts.save(account)
    permissions.set_server_role(backup.policy.owner, given=False)

    report = probing.probe(account)

    assert "but alice is not (or no longer) allowed" in report.problems[0]
    assert backup.cloud.calls == []


def test_the_command_prints_each_answer_and_exits_0_only_when_none_is_missing(
    backup: Backup,
) -> None:
    snapshot(backup)
    said = StringIO()

    call_command("test_account", "alice/lab", stdout=said)

    assert [line for line in said.getvalue().splitlines() if line.startswith("granted")] == [
        f"granted      {permission} in us-east-1" for permission in ALL
    ]
    backup.cloud.denied = {"CreateTags"}
    with pytest.raises(CommandError, match="lack the permission ec2:CreateTags"):
        call_command("test_account", "alice/lab", stdout=said)


def test_the_command_speaks_json(backup: Backup) -> None:
    backup.cloud.denied = {"DescribeVolumes"}
    said = StringIO()

    with pytest.raises(CommandError):
        call_command("test_account", "alice/lab", "--json", stdout=said)

    report = json.loads(said.getvalue())
    assert (report["account"], report["ok"]) == ("alice/lab", False)
    answers = {each["permission"]: each["result"] for each in report["permissions"]}
    assert answers["ec2:DescribeVolumes"] == "missing"
    assert answers["ec2:DescribeInstances"] == "granted"


@pytest.mark.parametrize("label", ["lab", "alice/", "alice/none", "bob/lab"])
def test_an_account_that_is_not_there_is_one_sentence(backup: Backup, label: str) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("test_account", label)

    assert is_one_sentence(str(caught.value).replace("OWNER/NAME, such as", ""))
    assert backup.cloud.calls == []
