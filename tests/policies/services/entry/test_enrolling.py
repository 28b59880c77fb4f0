"""Rules of tag enrolment, from AWS to the policy's targets, with alarms for everything that leaves."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import transaction

from policies.adapters.memory import MemoryCloud
from policies.domain.alarms.messages import AlarmKind
from policies.models import Account, Alarm, EnrolRule, InventoryPlace, Policy, PolicyTarget
from policies.services.coverage import refreshing
from policies.services.entry import chosen, enrolling, policies, rules
from scripts_admin.models import AuditEntry
from tests import factories
from tests.ground.properties import HealthCheck, given, settings, st

REGION = "us-east-1"
HAND = "i-0123456789abcdef0"
TAGGED = {"backup": "shop"}


@pytest.fixture(autouse=True)
def moment() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2026-11-28T12:00:00+00:00", tick=False) as traveller:
        yield traveller


@pytest.fixture
def policy(db: None, cloud: MemoryCloud) -> Policy:
    """Alice's policy with one target that she entered."""
    made = factories.PolicyFactory.create(owner=factories.alice(), name="shop")
    chosen.follow(made.account)
    policies.replace_targets(made, [PolicyTarget(instance_id=HAND, region=REGION)])
    return made


@pytest.fixture
def rule(policy: Policy) -> EnrolRule:
    made = EnrolRule(
        account=policy.account, policy=policy, what="instances", tag="backup", value="shop"
    )
    rules.add(made, by=policy.owner)
    return made


def look(moment: time_machine.Traveller) -> None:
    moment.shift(refreshing.EVERY)
    assert refreshing.tick() == 1


def tagged(cloud: MemoryCloud, tags: dict[str, str] = TAGGED) -> str:
    made = cloud.add_instance(volumes=1).instance_id
    cloud.retag(made, tags)
    return made


def targets(policy: Policy) -> dict[str, int | None]:
    return {str(row): row.rule_id for row in policy.targets.order_by("pk")}


def alarms() -> list[Alarm]:
    return list(Alarm.objects.order_by("pk"))


def entered(action: str) -> list[tuple[str, str, str, str]]:
    rows = AuditEntry.objects.filter(action=action).order_by("pk")
    return [(row.kind, row.label, row.name, str(row.changes)) for row in rows]


def test_what_bears_the_tag_joins_the_policy_and_the_audit_says_so(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud
) -> None:
    one = tagged(cloud)
    tagged(cloud, {"backup": "other"})

    refreshing.tick()

    assert targets(policy) == {HAND: None, one: rule.pk}
    who = "the rule backup=shop of account lab"
    changes = [["targets", "", one]]
    assert entered("enrolled") == [("policy", "alice/shop", who, str(changes))]
    assert alarms() == []


def test_volumes_join_by_a_rule_of_their_own(policy: Policy, cloud: MemoryCloud) -> None:
    made = EnrolRule(account=policy.account, policy=policy, what="volumes", tag="backup", value="")
    rules.add(made, by=policy.owner)
    one = cloud.add_volume().volume_id
    cloud.retag(one, {"backup": ""})

    refreshing.tick()

    assert targets(policy) == {HAND: None, one: made.pk}
    assert policy.targets.get(volume_id=one).region == REGION


def test_who_lost_the_tag_leaves_at_the_second_look_with_an_alarm(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    cloud.retag(one, {})

    look(moment)
    assert one in targets(policy)
    assert alarms() == []
    look(moment)

    assert targets(policy) == {HAND: None}
    assert [found[3] for found in entered("left")] == [str([["targets", one, ""]])]
    (alarm,) = alarms()
    assert (alarm.kind, alarm.policy, alarm.owner) == (AlarmKind.ENROLMENT, policy, policy.owner)
    assert alarm.title == "alice/shop: 1 target left the policy"
    assert f"{one} in {REGION} does not bear the tag backup=shop any more" in alarm.text


def test_two_looks_in_a_hurry_are_one(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    cloud.retag(one, {})
    for _ in range(3):
        refreshing.soon(policy.account)
        moment.shift(timedelta(seconds=10))
        assert refreshing.tick() == 1

    assert one in targets(policy)


def test_a_stale_answer_about_tags_takes_nothing_away(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    for tags in ({}, TAGGED, {}, TAGGED):
        cloud.retag(one, tags)
        look(moment)

    assert one in targets(policy)
    assert alarms() == []


def test_an_instance_that_is_terminated_leaves_with_an_alarm(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    cloud.terminate(one)
    look(moment)
    assert one in targets(policy)

    look(moment)

    assert targets(policy) == {HAND: None}
    assert len(alarms()) == 1


def test_a_refresh_that_fails_takes_nothing_away(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    cloud.denied.add("DescribeInstances")
    cloud.retag(one, {})
    for _ in range(5):
        moment.move_to(InventoryPlace.objects.get().next_at)
        refreshing.tick()

    assert one in targets(policy)


def test_the_last_target_stays_and_one_alarm_says_so(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    policy.targets.filter(rule=None).delete()
    cloud.retag(one, {})
    for _ in range(4):
        look(moment)

    assert targets(policy) == {one: rule.pk}
    (alarm,) = alarms()
    assert alarm.title == "alice/shop: the last target stays without its tag"


def test_more_than_aws_takes_at_once_are_not_enrolled_and_told_once(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    for _ in range(enrolling.MOST_TARGETS + 10):
        tagged(cloud)

    refreshing.tick()
    look(moment)

    assert policy.targets.count() == enrolling.MOST_TARGETS
    rule.refresh_from_db()
    assert rule.left_over == {REGION: 11}
    (alarm,) = alarms()
    assert alarm.title == "alice/shop: 11 found no room in the policy"


def test_what_was_entered_by_hand_is_no_rules_business(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    policies.add_targets(policy, [PolicyTarget(instance_id=one, region=REGION)])
    refreshing.tick()
    cloud.terminate(one)
    for _ in range(4):
        look(moment)

    assert targets(policy) == {HAND: None, one: None}
    assert alarms() == []


def test_an_edit_that_knew_nothing_of_the_refresh_loses_neither(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud
) -> None:
    read = list(policy.targets.all())  # what a form shows
    one = tagged(cloud)
    refreshing.tick()

    policies.replace_targets(
        policy, [PolicyTarget(instance_id="i-0aaaaaaaaaaaaaaaa", region=REGION)]
    )

    assert read
    assert targets(policy) == {"i-0aaaaaaaaaaaaaaaa": None, one: rule.pk}


def test_exclusions_of_what_a_rule_enrolled_can_be_edited(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    edited = [
        *policy.targets.filter(rule=None),
        PolicyTarget(instance_id=one, region=REGION, exclude_boot_volume=True),
    ]

    assert policies.replace_targets(policy, edited)
    assert not policies.replace_targets(policy, edited)

    row = policy.targets.get(instance_id=one)
    assert (row.rule, row.exclude_boot_volume) == (rule, True)


def test_a_rule_that_goes_leaves_what_it_enrolled(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = tagged(cloud)
    refreshing.tick()
    cloud.retag(one, {})
    look(moment)

    assert rules.remove(rule, by=policy.owner) == 1
    for _ in range(3):
        look(moment)

    assert targets(policy) == {HAND: None, one: None}
    assert alarms() == []


def test_a_policy_of_another_account_is_left_alone(
    rule: EnrolRule, policy: Policy, cloud: MemoryCloud
) -> None:
    other = factories.AccountFactory.create(owner=policy.owner, name="other")
    Policy.objects.filter(pk=policy.pk).update(account=other)
    tagged(cloud)

    refreshing.tick()

    assert targets(policy) == {HAND: None}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tag": " "}, "A tag has a name"),
        ({"value": "v" * 257}, "at most 256"),
        ({"what": "disks"}, "must be one of instances, volumes"),
    ],
)
def test_a_wrong_rule_is_refused_and_not_saved(
    policy: Policy, changes: dict[str, Any], told: str
) -> None:
    said = {"what": "instances", "tag": "backup", "value": "shop", **changes}
    with pytest.raises(ValidationError, match=told):
        rules.add(EnrolRule(account=policy.account, policy=policy, **said), by=policy.owner)

    assert not EnrolRule.objects.exists()


def test_a_rule_reaches_no_policy_of_another_account_or_owner(policy: Policy) -> None:
    strange = factories.PolicyFactory.create(owner=factories.charlie())
    with pytest.raises(ValidationError, match="does not use the account"):
        rules.add(
            EnrolRule(account=policy.account, policy=strange, what="instances", tag="a"),
            by=policy.owner,
        )

    assert not EnrolRule.objects.exists()


def test_a_rule_is_entered_once(rule: EnrolRule, policy: Policy) -> None:
    again = EnrolRule(
        account=policy.account, policy=policy, what="instances", tag="backup", value="shop"
    )
    with pytest.raises(ValidationError, match="exists already"):
        rules.add(again, by=policy.owner)

    assert EnrolRule.objects.count() == 1


TAGS = st.sampled_from([{}, TAGGED, {"tier": "gold"}, TAGGED | {"tier": "gold"}])
STEPS = st.lists(st.tuples(st.integers(0, 3), TAGS, st.booleans()), max_size=12)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_no_sequence_of_tags_touches_what_was_entered_by_hand(
    steps: list[tuple[int, dict[str, str], bool]],
    policy: Policy,
    cloud: MemoryCloud,
    moment: time_machine.Traveller,
) -> None:
    with transaction.atomic():
        ones = [tagged(cloud, {}) for _ in range(4)]
        for tag, value in (("backup", "shop"), ("tier", "gold")):
            made = EnrolRule(
                account=policy.account, policy=policy, what="instances", tag=tag, value=value
            )
            rules.add(made, by=policy.owner)
        policies.add_targets(policy, [PolicyTarget(instance_id=ones[0], region=REGION)])
        for index, tags, looks in steps:
            cloud.retag(ones[index], tags)
            if looks:
                look(moment)
            found = targets(policy)
            assert [key for key, rule in found.items() if rule is None] == [HAND, ones[0]]
            gone = Alarm.objects.filter(kind=AlarmKind.ENROLMENT)
            assert len(found) + sum(a.text.count("does not bear") for a in gone) >= 2
        transaction.set_rollback(True)


def test_two_rules_of_an_account_for_two_policies(
    policy: Policy, rule: EnrolRule, cloud: MemoryCloud
) -> None:
    account: Account = policy.account
    other = factories.PolicyFactory.create(owner=policy.owner, account=account, name="gold")
    policies.replace_targets(other, [PolicyTarget(instance_id=HAND, region=REGION)])
    gold = EnrolRule(account=account, policy=other, what="instances", tag="tier", value="gold")
    rules.add(gold, by=policy.owner)
    both = tagged(cloud, TAGGED | {"tier": "gold"})

    refreshing.tick()

    assert targets(policy)[both] == rule.pk
    assert targets(other)[both] == gold.pk
