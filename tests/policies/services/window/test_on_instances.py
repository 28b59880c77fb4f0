"""What a run would carry to the instances of its policy, and that nothing is frozen until somebody carries it."""

import hashlib
from pathlib import Path

import pytest
from pytest_django import Settings

from policies.models import Policy, PolicyTarget, Run
from policies.services.window import on_instances
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import Remote
from scripts_admin.folders import carried, storage
from scripts_admin.folders.carried import InFolder
from scripts_admin.models import User
from scripts_admin.services import approvals, versions
from tests import factories

pytestmark = pytest.mark.django_db
ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
TEXT = b"#!/bin/sh\nexit 0\n"


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: Path) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"


@pytest.fixture
def alice(scripts_root: None) -> User:
    return factories.alice()


@pytest.fixture
def policy(alice: User) -> Policy:
    made = factories.PolicyFactory.create(owner=alice, name="p")
    for instance in (ONE, TWO):
        target = factories.PolicyTargetFactory.build(policy=made, instance_id=instance)
        target.remote = Remote(by="ssm").filled()
        target.save()
    factories.PolicyTargetFactory.create(policy=made)  # without scripts of its own
    storage.create(made.folder)
    return made


@pytest.fixture
def run(policy: Policy) -> Run:
    return factories.RunFactory.create(policy=policy)


def _write(policy: Policy, *names: str, text: bytes = TEXT) -> None:
    for name in names:
        (storage.path(policy.folder) / name).write_bytes(text)


def test_each_instance_with_scripts_gets_its_own(policy: Policy, run: Run) -> None:
    _write(policy, "before_p@all.sh", "after_p@all.sh", f"before_p@{ONE}.sh", "before_p.sh")

    found = on_instances.find(run, policy)

    assert list(found) == [ONE, TWO]
    assert [found[each].carried[Phase.BEFORE].script for each in found] == [
        f"before_p@{ONE}.sh",
        "before_p@all.sh",
    ]
    assert found[ONE].remote == Remote(by="ssm", document="AWS-RunShellScript")


def test_before_is_not_run_where_after_cannot_be_and_elsewhere_it_is(
    policy: Policy, run: Run
) -> None:
    _write(policy, "before_p@all.sh", "after_p@all.sh")
    _write(policy, f"after_p@{ONE}.sh", text=b"no first line")

    found = on_instances.find(run, policy)

    assert found[ONE].not_run == {Phase.AFTER: Outcome.CRASHED, Phase.BEFORE: Outcome.NOT_RUN}
    assert f"before is not run on {ONE}" in found[ONE].problems[Phase.BEFORE]
    assert set(found[TWO].carried) == {Phase.BEFORE, Phase.AFTER}


def test_a_missing_after_is_no_failure(policy: Policy, run: Run) -> None:
    _write(policy, "before_p@all.sh")

    found = on_instances.find(run, policy)

    assert found[ONE].not_run == {Phase.AFTER: Outcome.MISSING}
    assert not found[ONE].problems


def test_nothing_is_carried_if_scripts_are_off_or_not_the_owners_to_run(
    policy: Policy, run: Run
) -> None:
    _write(policy, "before_p@all.sh")
    policy.owner = factories.UserFactory.create(username="dora")

    (refused, _) = on_instances.find(run, policy).values()
    policy.scripts_enabled = False

    assert not refused.carried
    assert "is not allowed to use the script folder" in refused.problems[Phase.BEFORE]
    assert on_instances.find(run, policy) == {}


def test_with_a_second_pair_of_eyes_only_approved_texts_are_carried_and_no_path(
    policy: Policy, run: Run, alice: User
) -> None:
    _write(policy, "before_p@all.sh", "after_p@all.sh")
    approvals.switch(policy.folder, on=True, actor=alice)
    policy.folder.refresh_from_db()
    _write(policy, "before_p@all.sh", f"after_p@{TWO}.sh", text=TEXT + b"# changed\n")
    PolicyTarget.objects.filter(instance_id=ONE).update(remote_after="/opt/thaw")
    approvals.look(policy.folder)

    found = on_instances.find(run, Policy.objects.get(pk=policy.pk))

    assert found[TWO].carried[Phase.BEFORE].content == TEXT
    assert found[TWO].carried[Phase.AFTER].script == "after_p@all.sh"
    assert "where nobody can approve it" in found[ONE].problems[Phase.AFTER]


def test_a_file_that_nobody_approved_yet_is_told_and_not_missing(
    policy: Policy, run: Run, alice: User
) -> None:
    approvals.switch(policy.folder, on=True, actor=alice)
    policy.folder.refresh_from_db()
    _write(policy, "before_p@all.sh")
    approvals.look(policy.folder)

    found = on_instances.find(run, policy)

    assert found[ONE].not_run[Phase.BEFORE] == Outcome.CRASHED
    assert "nobody has approved it yet" in found[ONE].problems[Phase.BEFORE]


def test_what_is_carried_is_kept_as_a_version_and_told_with_the_result(
    policy: Policy, run: Run
) -> None:
    _write(policy, "before_p@all.sh")
    _write(policy, f"after_p@{TWO}.sh", text=b"")
    one, two = (
        factories.RunTargetFactory.create(run=run, instance_id=each, remote={"by": "ssm"})
        for each in (ONE, TWO)
    )
    found = on_instances.find(run, policy)
    path = Remote(by="ssm", before="/opt/freeze")
    found[TWO].carried[Phase.BEFORE], _ = carried.find(InFolder(policy.folder), "p", {TWO: path})

    for target in (one, two):
        on_instances.note(target, found[target.instance_id], policy.folder)
        target.refresh_from_db()

    told = on_instances.text(one, Phase.BEFORE)
    assert (told["script"], told["script_sha256"]) == (
        "before_p@all.sh",
        hashlib.sha256(TEXT).hexdigest(),
    )
    assert versions.content(told["script_version"]) == TEXT
    assert "is empty" in two.script_problems["after"]
    assert on_instances.text(one, Phase.AFTER)["script"] == ""
    assert on_instances.text(two, Phase.BEFORE) == {
        "script": "/opt/freeze",
        "script_sha256": "",
        "script_version": None,
    }
