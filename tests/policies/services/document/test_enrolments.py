"""Chosen regions and rules of tag enrolment in the document."""

from pathlib import Path

import pytest
from pytest_django import Settings

from policies.models import Account, EnrolRule, InventoryPlace, Policy, PolicyTarget
from policies.services.document import applying, exporting
from policies.services.document.applying import MistakesError

DOCUMENT = """\
users: [{name: alice}]
accounts:
  - owner: alice
    name: lab
    auth: keys
    access_key_id: AKIAIOSFODNN7EXAMPLE
    secret_access_key_env: LAB
    regions: [us-east-1, eu-west-1]
    enrol:
      - {tag: backup, value: shop, policy: shop}
      - {tag: backup, value: shop, policy: shop, what: volumes}
      - {tag: empty, policy: shop}
policies:
  - {owner: alice, name: shop, account: lab, targets: [{instance: i-0123456789abcdef0, region: us-east-1}]}
"""
SECRET = {"LAB": "wJalrXUtnFEMI"}


@pytest.fixture(autouse=True)
def _scripts(db: None, settings: Settings, tmp_path: Path) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"


def apply(text: str = DOCUMENT) -> list[str]:
    return [f"{each.action} {each.kind}" for each in applying.apply(text, SECRET)]


def mistakes(text: str) -> list[str]:
    with pytest.raises(MistakesError) as raised:
        apply(text)
    return [str(each.sentence) for each in raised.value.mistakes]


def rules() -> list[tuple[str, str, str, str]]:
    return list(EnrolRule.objects.values_list("what", "tag", "value", "policy__name"))


def test_regions_and_rules_are_made_and_a_second_time_nothing_changes() -> None:
    apply()

    assert Account.objects.get().regions == ["us-east-1", "eu-west-1"]
    assert set(InventoryPlace.objects.values_list("region", flat=True)) == {
        "us-east-1",
        "eu-west-1",
    }
    assert rules() == [
        ("instances", "backup", "shop", "shop"),
        ("volumes", "backup", "shop", "shop"),
        ("instances", "empty", "", "shop"),
    ]
    assert {line.split()[0] for line in apply()} == {"unchanged"}


def test_rules_are_taken_as_the_whole_list_and_what_they_enrolled_stays() -> None:
    apply()
    first = EnrolRule.objects.first()
    PolicyTarget.objects.create(
        policy=Policy.objects.get(),
        instance_id="i-0aaaaaaaaaaaaaaaa",
        region="us-east-1",
        rule=first,
    )

    changed = apply(DOCUMENT.replace("      - {tag: backup, value: shop, policy: shop}\n", ""))

    assert "changed enrolment" in changed
    assert [rule[:2] for rule in rules()] == [("volumes", "backup"), ("instances", "empty")]
    assert PolicyTarget.objects.filter(rule=None).count() == 2
    apply(DOCUMENT.partition("    enrol:")[0])  # it names no rules
    assert len(rules()) == 2


def test_what_is_exported_says_who_is_enrolled_and_changes_nothing() -> None:
    apply()
    rule = EnrolRule.objects.get(what="instances", tag="backup")
    PolicyTarget.objects.create(
        policy=Policy.objects.get(),
        instance_id="i-0aaaaaaaaaaaaaaaa",
        region="us-east-1",
        rule=rule,
    )
    text = exporting.export()

    assert {line.split()[0] for line in apply(text)} == {"unchanged"}
    assert PolicyTarget.objects.get(rule__isnull=False).rule == rule

    Policy.objects.all().delete()
    Account.objects.all().delete()
    apply(text.replace("  region:", "  secret_access_key_env: LAB\n  region:", 1))

    assert exporting.export() == text
    enrolled = PolicyTarget.objects.get(rule__isnull=False)
    assert (str(enrolled), enrolled.rule) == (
        "i-0aaaaaaaaaaaaaaaa",
        EnrolRule.objects.get(what="instances", tag="backup"),
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("eu-west-1]", "europe]", "europe is not an AWS region"),
        ("eu-west-1]", "us-east-1]", "us-east-1 is chosen twice"),
        (
            "policy: shop}",
            "policy: shopp}",
            "alice has no policy shopp: add it, or correct the name.",
        ),
        ("what: volumes", "what: disks", "This is 'disks' but must be one of instances, volumes"),
        ("tag: backup", f"tag: {'t' * 129}", "A tag has a name of 1 to 128 characters"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_changed(old: str, new: str, told: str) -> None:
    found = mistakes(DOCUMENT.replace(old, new, 1))

    assert len(found) == 1
    assert told in found[0]
    assert not Account.objects.exists()


def test_a_wrong_policy_is_not_told_again_at_its_rules() -> None:
    found = mistakes(DOCUMENT.replace("i-0123456789abcdef0", "nonsense"))

    assert len(found) == 1
    assert "nonsense is not an instance id" in found[0]


def test_a_rule_for_a_policy_of_another_account_is_a_mistake() -> None:
    other = "  - {owner: alice, name: other, access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key_env: LAB}\n"
    text = DOCUMENT.replace("policies:\n", f"{other}policies:\n").replace(
        "account: lab", "account: other"
    )

    found = mistakes(text)

    assert found
    assert all("does not use the account lab" in each for each in found)
