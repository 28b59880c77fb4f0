"""The coverage pages: who sees what, what can be decided there, and that no text of AWS's does harm."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from n2wbackup.lib import clock
from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import (
    Account,
    EnrolRule,
    InventoryItem,
    InventoryPlace,
    LeftOut,
    Policy,
    PolicyTarget,
)
from policies.selectors import coverage
from policies.services.coverage import refreshing
from policies.services.entry import chosen, policies
from scripts_admin.models import User
from tests import factories

REGION = "us-east-1"
EVIL = '"><svg onload=alert(1)>'
HAND = "i-0123456789abcdef0"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made)
    return made


@pytest.fixture
def alice(db: None) -> User:
    return factories.alice()


@pytest.fixture
def account(alice: User, cloud: MemoryCloud) -> Account:
    made = factories.AccountFactory.create(owner=alice)
    chosen.follow(made)
    return made


@pytest.fixture
def policy(account: Account) -> Policy:
    made = factories.PolicyFactory.create(owner=account.owner, account=account, name="shop")
    policies.replace_targets(made, [PolicyTarget(instance_id=HAND, region=REGION)])
    return made


def browser(person: User) -> Client:
    made = Client()
    made.force_login(person)
    return made


def get(person: User, name: str = "coverage", **query: str) -> str:
    answer = browser(person).get(reverse(name), query)
    assert answer.status_code == 200
    return answer.content.decode()


def key(resource_id: str) -> int:
    found = InventoryItem.objects.filter(resource_id=resource_id).order_by("pk").first()
    assert found is not None
    return found.pk


def decide(person: User, *resources: str, **form: Any) -> Any:
    said = {"item": [key(one) for one in resources], **form}
    return browser(person).post(reverse("coverage_decide"), said, follow=True)


def test_what_no_policy_backs_up_is_listed_the_largest_first(
    policy: Policy, cloud: MemoryCloud
) -> None:
    small, large = cloud.add_volume().volume_id, cloud.add_instance(volumes=3)
    refreshing.tick()

    page = get(policy.owner)

    assert page.index(large.instance_id) < page.index(small)
    assert "No enabled policy backs up 5 instances and volumes." in page
    assert coverage.uncovered_count(policy.owner) == 5


def test_a_stranger_sees_nothing_and_changes_nothing(policy: Policy, cloud: MemoryCloud) -> None:
    one = cloud.add_volume().volume_id
    refreshing.tick()
    rule = EnrolRule.objects.create(account=policy.account, policy=policy, what="volumes", tag="a")
    decision = LeftOut.objects.create(
        account=policy.account,
        region=REGION,
        resource_id="vol-01234567",
        reason="r",
        by="alice",
        at=clock.now(),
    )
    charlie = factories.charlie()

    for name in ("coverage", "coverage_left_out", "coverage_rules"):
        page = get(charlie, name)
        assert one not in page
        assert "vol-01234567" not in page
        assert "alice" not in page
    assert decide(charlie, one, do="leave", reason="mine").status_code == 404
    assert decide(charlie, one, do="add", policy="alice/shop").status_code == 404
    for name, of in (("coverage_take_back", decision), ("coverage_rule_remove", rule)):
        for method in ("get", "post"):
            assert getattr(browser(charlie), method)(reverse(name, args=[of.pk])).status_code == 404
    browser(charlie).post(
        reverse("coverage_rules"),
        {"policy": "alice/shop", "what": "volumes", "tag": "mine", "value": ""},
    )
    browser(charlie).post(reverse("coverage_refresh"))
    assert [*EnrolRule.objects.all()] == [rule]
    assert [*LeftOut.objects.all()] == [decision]
    assert policy.targets.count() == 1
    assert coverage.uncovered_count(charlie) == 0


def test_an_instance_as_target_backs_up_its_volumes_but_those_excluded(
    policy: Policy, cloud: MemoryCloud
) -> None:
    made = cloud.add_instance(volumes=3)
    boot, data, log = made.volume_ids
    refreshing.tick()

    def left() -> set[str]:
        return {row.resource_id for row in coverage.uncovered(policy.owner)}

    assert left() == {made.instance_id, boot, data, log}
    target = PolicyTarget.objects.create(policy=policy, instance_id=made.instance_id, region=REGION)
    assert left() == set()
    target.exclude_volume_ids, target.exclude_boot_volume = [log], True
    target.save()
    assert left() == {boot, log}
    PolicyTarget.objects.create(policy=policy, volume_id=log, region=REGION)
    assert left() == {boot}
    Policy.objects.update(enabled=False)
    assert left() == {made.instance_id, boot, data, log}


def test_an_instance_whose_volumes_are_all_backed_up_by_themselves_is_backed_up(
    policy: Policy, cloud: MemoryCloud
) -> None:
    made = cloud.add_instance(volumes=2)
    refreshing.tick()
    for volume in made.volume_ids:
        PolicyTarget.objects.create(policy=policy, volume_id=volume, region=REGION)

    assert coverage.uncovered_count(policy.owner) == 0


def test_a_target_of_another_region_or_aws_account_backs_up_nothing_here(
    policy: Policy, cloud: MemoryCloud
) -> None:
    one = cloud.add_volume().volume_id
    refreshing.tick()
    PolicyTarget.objects.create(policy=policy, volume_id=one, region="eu-west-1")
    other = factories.PolicyFactory.create(owner=factories.charlie())
    PolicyTarget.objects.create(policy=other, volume_id=one, region=REGION)
    assert coverage.uncovered_count(policy.owner) == 1

    Account.objects.update(aws_account_id="123456789012")  # both lead there

    assert coverage.uncovered_count(policy.owner) == 0


def test_what_two_accounts_see_in_one_aws_account_is_listed_once(
    policy: Policy, cloud: MemoryCloud
) -> None:
    other = factories.AccountFactory.create(owner=policy.owner, name="other")
    theirs = factories.AccountFactory.create(owner=factories.charlie(), name="theirs")
    for each in (other, theirs):
        chosen.follow(each)
    made = cloud.add_instance(volumes=1)
    refreshing.tick()
    boss = factories.UserFactory.create(username="boss", is_superuser=True)
    people = (policy.owner, factories.charlie(), boss)
    assert [coverage.uncovered_count(each) for each in people] == [2, 2, 2]

    decide(policy.owner, made.instance_id, do="leave", reason="no need")

    # Charlie decides for himself.
    assert [coverage.uncovered_count(each) for each in people[:2]] == [0, 2]
    mine = InventoryItem.objects.get(account=other, kind="instance")
    said = {"item": [mine.pk], "do": "add", "policy": "shop"}
    page = browser(policy.owner).post(reverse("coverage_decide"), said, follow=True)
    assert "1 was added to alice/shop." in page.content.decode()


def test_chosen_rows_join_a_policy_and_a_volume_comes_with_its_instance(
    policy: Policy, cloud: MemoryCloud
) -> None:
    made, alone = cloud.add_instance(volumes=1), cloud.add_volume().volume_id
    refreshing.tick()

    answer = decide(
        policy.owner, made.instance_id, *made.volume_ids, alone, do="add", policy="shop"
    )

    assert "2 were added to alice/shop." in answer.content.decode()
    assert {str(row) for row in policy.targets.all()} == {HAND, made.instance_id, alone}
    assert coverage.uncovered_count(policy.owner) == 0


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"do": "add", "policy": "nothing"}, "There is no policy nothing"),
        ({"do": "add", "policy": "charlie/theirs"}, "There is no policy charlie/theirs"),
        ({"do": "add", "policy": "other"}, "uses the account other, which does not look at it"),
        ({"do": "add"}, "There is no policy without a name"),
        ({"do": "leave", "reason": "  "}, "Nothing was left out: write the reason"),
        ({"do": "leave", "reason": "x" * 501}, "shorten the reason"),
    ],
)
def test_a_wrong_decision_is_told_and_changes_nothing(
    policy: Policy, cloud: MemoryCloud, form: dict[str, str], told: str
) -> None:
    one = cloud.add_volume().volume_id
    refreshing.tick()
    factories.PolicyFactory.create(owner=factories.charlie(), name="theirs")
    other = factories.AccountFactory.create(owner=policy.owner, name="other")
    factories.PolicyFactory.create(owner=policy.owner, account=other, name="other")

    answer = decide(policy.owner, one, **form)

    assert told in answer.content.decode()
    assert PolicyTarget.objects.count() == 1
    assert not LeftOut.objects.exists()


def test_what_is_left_out_has_a_list_of_its_own_and_can_be_taken_back(
    policy: Policy, cloud: MemoryCloud
) -> None:
    made = cloud.add_instance(volumes=2)
    refreshing.tick()
    alice = policy.owner

    decide(alice, made.instance_id, do="leave", reason="A build machine, made anew each day.")

    assert coverage.uncovered_count(alice) == 0  # its volumes go with it
    page = get(alice, "coverage_left_out")
    assert made.instance_id in page
    assert "A build machine, made anew each day." in page
    browser(alice).post(reverse("coverage_take_back", args=[LeftOut.objects.get().pk]))
    assert coverage.uncovered_count(alice) == 3


def test_filters_in_the_address_narrow_the_list(policy: Policy, cloud: MemoryCloud) -> None:
    one, two = cloud.add_volume().volume_id, cloud.add_volume().volume_id
    made = cloud.add_instance(volumes=1)
    cloud.retag(one, {"Name": "Data of web", "team": "blue"})
    refreshing.tick()

    def left(**query: str) -> set[str]:
        page = get(policy.owner, **query)
        return {each for each in (one, two, made.instance_id) if f"Choose {each}" in page}

    assert left(q="of WEB") == left(tag="team") == left(tag="team=blue") == {one}
    assert left(tag="team=red") == left(region="eu-west-1") == left(account="bob/lab") == set()
    assert left(what="instances") == left(q=made.instance_id) == {made.instance_id}
    assert left(account="alice/lab", region=REGION, what="volumes") == {one, two}
    assert (
        left(tag="a'b\"; --")
        == left(tag="=x")
        == left(q="%")
        == left(what="nonsense")
        - {
            one,
            two,
            made.instance_id,
        }
    )


def test_every_text_of_aws_is_shown_without_harm(policy: Policy, cloud: MemoryCloud) -> None:
    one = cloud.add_volume().volume_id
    cloud.retag(one, {"Name": EVIL, EVIL: EVIL, "turn": "\u202eevil"})
    EnrolRule.objects.create(
        account=policy.account, policy=policy, what="volumes", tag=EVIL, value=EVIL
    )
    refreshing.tick()
    PolicyTarget.objects.all().delete()
    InventoryPlace.objects.update(problem=EVIL, failed_since="2026-01-01T00:00Z")
    alice = policy.owner

    pages = [get(alice), get(alice, "coverage_rules"), get(alice, q=EVIL, tag=EVIL)]
    rule = EnrolRule.objects.get()
    pages.append(
        browser(alice).get(reverse("coverage_rule_remove", args=[rule.pk])).content.decode()
    )
    decide(alice, one, do="leave", reason=EVIL)
    pages.append(get(alice, "coverage_left_out"))

    for page in pages:
        assert "&lt;svg onload" in page
        assert "<svg onload" not in page
        assert "\u202e" not in page


def test_a_rule_is_entered_shown_and_removed_on_the_page(
    policy: Policy, cloud: MemoryCloud
) -> None:
    alice, one = policy.owner, cloud.add_volume().volume_id
    cloud.retag(one, {"backup": "shop"})
    said = {"policy": "alice/shop", "what": "volumes", "tag": "backup", "value": "shop"}

    page = browser(alice).post(reverse("coverage_rules"), said, follow=True).content.decode()
    assert "The rule is added: volumes with tag backup=shop join policy shop." in page
    again = browser(alice).post(reverse("coverage_rules"), said).content.decode()
    assert "This rule exists already" in again
    refreshing.tick()
    rule = EnrolRule.objects.get()
    page = browser(alice).get(reverse("coverage_rule_remove", args=[rule.pk])).content.decode()
    assert "The 1 target that it enrolled stays in the policy" in page
    browser(alice).post(reverse("coverage_rule_remove", args=[rule.pk]))

    assert not EnrolRule.objects.exists()
    assert policy.targets.filter(volume_id=one, rule=None).exists()


def test_a_failing_account_is_told_with_the_words_of_aws(
    account: Account, cloud: MemoryCloud
) -> None:
    cloud.denied.add("DescribeVolumes")
    refreshing.tick()

    page = get(account.owner)

    assert "alice/lab in us-east-1 cannot be looked at" in page
    assert "lack the permission ec2:DescribeVolumes" in page


def test_asking_again_makes_everything_of_the_person_due(account: Account) -> None:
    refreshing.tick()
    assert refreshing.tick() == 0

    browser(account.owner).post(reverse("coverage_refresh"))

    assert refreshing.tick() == 1


@pytest.mark.parametrize("target", ["https://example.org/coverage/", "//example.org", "/policies/"])
def test_nobody_is_sent_to_another_site(account: Account, target: str) -> None:
    answer = browser(account.owner).post(reverse("coverage_refresh"), {"back": target})

    assert answer.headers["Location"] == reverse("coverage")
