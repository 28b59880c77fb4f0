"""The IAM documents allow no more than they say."""

import json
from typing import Any

import pytest

from policies.adapters import limits
from policies.domain.runs import sequence
from policies.models import Run
from policies.selectors.worth import worth
from policies.services.following import tagging
from policies.services.retention import deleting
from scripts_admin.domain import remote
from tests import factories
from tests.guards import tree

DOCUMENTS = tree.ROOT / "deploy" / "iam"
SNAPSHOTS = "arn:aws:ec2:*::snapshot/*"


def statements(name: str) -> dict[str, dict[str, Any]]:
    document = json.loads((DOCUMENTS / name).read_text())
    assert document["Version"] == "2012-10-17"
    return {each["Sid"]: each for each in document["Statement"]}


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*.json")), ids=lambda path: path.name)
def test_a_document_names_its_actions_and_is_told_of_in_the_readme(path: Any) -> None:
    for sid, each in statements(path.name).items():
        assert sid.isalnum()
        assert "*" not in json.dumps(each["Action"])
    assert f"({path.name})" in (DOCUMENTS / "README.md").read_text()


def test_what_changes_something_has_a_resource_and_a_condition() -> None:
    for sid, each in statements("server.json").items():
        if sid != "Look":
            assert each["Resource"] != "*"
        if each["Resource"] == SNAPSHOTS:
            assert each["Condition"]
    looks = statements("server.json")["Look"]["Action"]
    assert all(a.startswith(("ec2:Describe", "ec2:Get", "ec2:List")) for a in looks)


def test_commands_go_to_instances_of_the_account_and_name_one_document() -> None:
    found = statements("server-ssm.json")
    for sid, each in found.items():
        if sid != "LookAtCommandsAndAgents":
            assert "*" not in each["Resource"]
    assert found["RunScriptsOnTheseInstances"]["Resource"] == [
        "arn:aws:ec2:*:ACCOUNT_ID:instance/*",
        f"arn:aws:ssm:*::document/{remote.DOCUMENT}",
    ]
    assert not any("Cancel" in json.dumps(each["Action"]) for each in found.values())


def test_a_snapshot_is_made_only_with_the_servers_tag_and_tagged_only_where_it_has_it() -> None:
    found = statements("server.json")

    made = found["SnapshotsBearTheServersTag"]["Condition"]["StringEquals"]
    later = found["TagItsOwnLater"]["Condition"]["StringEquals"]
    assert made == {f"aws:RequestTag/{limits.SERVER_TAG}": "SERVER_ID"}
    assert later == {f"aws:ResourceTag/{limits.SERVER_TAG}": "SERVER_ID"}


@pytest.mark.django_db
def test_the_tags_that_may_be_set_later_are_those_that_are() -> None:
    run: Run = factories.RunFactory.create()
    run.state = max(sequence.ENDS)
    target = factories.RunTargetFactory.create(run=run, remote={"by": "ssm"}, thaw_by="worker")
    snapshot = factories.RunSnapshotFactory.create(target=target)
    for phase in remote.PHASES:
        factories.result(run, phase, target=target)
    condition = statements("server.json")["TagItsOwnLater"]["Condition"]

    known = worth(run)
    ((_, own),) = tagging._groups(run, known)
    assert snapshot.snapshot_id in tagging._groups(run, known)[target.region, own]
    assert condition["ForAllValues:StringEquals"]["aws:TagKeys"] == sorted(
        {**dict(own), deleting.DELETING_TAG: ""}
    )


def test_copies_are_made_with_the_servers_tag_and_only_its_own_are_deleted_and_shared() -> None:
    found = statements("server-copies.json")

    made = found["CopiesBearTheServersTag"]["Condition"]["StringEquals"]
    own = found["ShareItsOwnAndDeleteItsOwnCopies"]["Condition"]["StringEquals"]
    assert made == {f"aws:RequestTag/{limits.SERVER_TAG}": "SERVER_ID"}
    assert own == {f"aws:ResourceTag/{limits.SERVER_TAG}": "SERVER_ID"}
    for sid, each in found.items():
        assert each["Resource"] != "*"
        assert "Condition" in each or sid == "CopyTheseSnapshots"
