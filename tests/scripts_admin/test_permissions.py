"""Who may see, change, run and share: Alice is the owner, Bob got a right, Charlie is a stranger."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.db.models import Model

from policies.domain.runs.trigger import Trigger
from policies.models import Account, AlarmReceivers, Policy, PolicyTarget, Run, Schedule
from policies.services import runs
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import Folder, User
from scripts_admin.services import folders
from tests import factories

pytestmark = pytest.mark.django_db
MAY = [
    permissions.may_see,
    permissions.may_change,
    permissions.may_run,
    permissions.may_approve_hosts,
    permissions.may_restore,
    permissions.may_share,
    permissions.may_delete,
]
# What each right lets people do, in the order of MAY.
ALLOWED = {
    Right.VIEW: [True, False, False, False, False, False, False],
    Right.EDIT: [True, True, False, False, False, False, False],
    Right.RUN: [True, False, True, False, False, False, False],
    Right.APPROVE_HOSTS: [True, False, False, True, False, False, False],
    Right.RESTORE: [True, False, False, False, True, False, False],
}


@pytest.fixture
def policy() -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="policy1")


@pytest.fixture
def rows(policy: Policy) -> list[Model]:
    """Return one row of each kind, all owned by Alice."""
    schedule = Schedule.objects.create(owner=policy.owner, name="nightly", cron="0 2 * * *")
    run = runs.start(policy=policy, trigger=Trigger.MANUAL)
    own = AlarmReceivers.objects.create(user=policy.owner, urls="json://a.example.org")
    of_policy = AlarmReceivers.objects.create(policy=policy, urls="json://b.example.org")
    target = PolicyTarget.objects.create(policy=policy, instance_id="i-1", region="us-east-1")
    event = run.events.first()
    assert event is not None
    return [policy, policy.account, schedule, run, policy.folder, own, of_policy, target, event]


def give_every_permission(user: User) -> User:
    """Give the permissions on all rows of all models, directly and through a group, as an administrator might."""
    group = Group.objects.create(name="operators")
    group.permissions.set(Permission.objects.all())
    user.groups.add(group)
    user.user_permissions.set(Permission.objects.exclude(codename="use_server_role"))
    user.is_staff = True
    user.save()
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("may", MAY)
def test_the_owner_may_and_a_stranger_may_not(rows: list[Model], may: object) -> None:
    assert callable(may)
    alice, charlie = User.objects.get(username="alice"), factories.charlie()

    assert [may(alice, row) for row in rows] == [True] * len(rows)
    assert [may(charlie, row) for row in rows] == [False] * len(rows)


@pytest.mark.parametrize("may", MAY)
def test_a_permission_on_all_rows_shows_and_allows_none(rows: list[Model], may: object) -> None:
    assert callable(may)
    charlie = give_every_permission(factories.charlie())

    assert [may(charlie, row) for row in rows] == [False] * len(rows)
    for row in rows:
        seen = permissions.visible(type(row)._default_manager.all(), charlie)
        assert row not in list(seen), row


@pytest.mark.parametrize("may", MAY)
def test_a_superuser_may_all_and_nothing_once_inactive(rows: list[Model], may: object) -> None:
    assert callable(may)
    boss = factories.UserFactory.create(username="boss", is_superuser=True)
    assert all(may(boss, row) for row in rows)

    boss.is_active = False

    assert not any(may(boss, row) for row in rows)
    for model in (Policy, Account, Schedule, Run, Folder, AlarmReceivers):
        assert not model._default_manager.all().visible_to(boss).exists()


@pytest.mark.parametrize(
    ("thing", "right"),
    [
        *(("policy", right) for right in Right),
        *(("folder", right) for right in Right if right != Right.RESTORE),
    ],
)
def test_each_right_allows_its_deed_on_this_row_alone(
    policy: Policy, thing: str, right: Right
) -> None:
    charlie = factories.charlie()
    row = policy if thing == "policy" else policy.folder
    permissions.grant(charlie, row, [right])

    assert [may(charlie, row) for may in MAY] == ALLOWED[right]
    assert list(type(row)._default_manager.all().visible_to(charlie)) == [row]
    other = factories.PolicyFactory.create(name="other")
    for stranger in (other, other.folder, policy.account):
        assert not any(may(charlie, stranger) for may in MAY)


def test_the_right_to_restore_counts_for_the_policys_runs_and_for_no_folder(
    policy: Policy,
) -> None:
    run = runs.start(policy=policy, trigger=Trigger.MANUAL)
    bob, charlie = factories.UserFactory.create(username="bert"), factories.charlie()
    permissions.grant(charlie, policy, [Right.RESTORE])
    permissions.grant(bob, policy, [Right.VIEW, Right.EDIT, Right.RUN, Right.APPROVE_HOSTS])

    assert permissions.may_restore(charlie, run)
    assert not permissions.may_restore(bob, run)
    charlie.is_active = False
    assert not permissions.may_restore(charlie, run)
    permissions.grant(bob, policy.folder, [Right.RESTORE])
    assert permissions.rights(bob, policy.folder) == ()


def test_a_shared_folder_shows_no_policy_and_a_shared_policy_no_folder(policy: Policy) -> None:
    bob, charlie = factories.bob(), factories.charlie()
    permissions.grant(charlie, policy, [Right.EDIT, Right.RUN])

    assert not any(may(bob, policy) for may in MAY)
    assert not any(may(charlie, policy.folder) for may in MAY)


def test_hosts_that_are_approved_for_a_policy_are_approved_for_its_folder(policy: Policy) -> None:
    charlie = factories.charlie()
    permissions.grant(charlie, policy, [Right.APPROVE_HOSTS])

    assert permissions.may_approve_hosts(charlie, policy.folder)
    assert not permissions.may_see(charlie, policy.folder)
    charlie.is_active = False
    assert not permissions.may_approve_hosts(charlie, policy.folder)


def test_a_policy_gives_no_right_on_a_folder_that_its_owner_may_not_share() -> None:
    """Carol is no superuser any more, and her policy still points to root's folder."""
    carol = factories.UserFactory.create(username="carol", is_superuser=True)
    policy = factories.PolicyFactory.create(owner=carol, folder=folders.root())
    charlie = factories.charlie()
    permissions.grant(charlie, policy, [Right.APPROVE_HOSTS])
    assert permissions.may_approve_hosts(charlie, policy.folder)

    User.objects.filter(pk=carol.pk).update(is_superuser=False)

    assert permissions.may_approve_hosts(charlie, policy)
    assert not permissions.may_approve_hosts(charlie, policy.folder)


def test_a_right_of_a_group_counts_for_its_members(policy: Policy) -> None:
    bob = factories.charlie()
    group = Group.objects.create(name="night shift")
    bob.groups.add(group)
    permissions.grant(group, policy.folder, [Right.RUN])
    permissions.grant(group, policy, [Right.RUN])

    fresh = User.objects.get(pk=bob.pk)
    assert permissions.may_run(fresh, policy.folder)
    assert permissions.may_run(fresh, policy)
    assert list(Folder.objects.visible_to(fresh)) == [policy.folder]
    assert list(Policy.objects.visible_to(fresh)) == [policy]
    bob.groups.clear()
    assert not Policy.objects.visible_to(User.objects.get(pk=bob.pk)).exists()


def test_what_belongs_to_a_shared_policy_goes_with_it_and_what_is_the_owners_does_not(
    rows: list[Model], policy: Policy
) -> None:
    charlie = factories.charlie()
    permissions.grant(charlie, policy, [Right.VIEW])

    seen = {row._meta.model_name for row in rows if permissions.may_see(charlie, row)}
    assert seen == {"policy", "run", "policytarget", "runevent"}
    for row in rows:
        found = list(permissions.visible(type(row)._default_manager.all(), charlie))
        assert (row in found) == (row._meta.model_name in seen), row
    permissions.grant(charlie, policy, [])
    assert not any(permissions.may_see(charlie, row) for row in rows)


def test_many_shared_policies_are_found_as_few_are(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    charlie, group = factories.charlie(), Group.objects.create(name="night shift")
    charlie.groups.add(group)
    other = factories.PolicyFactory.create(owner=policy.owner)
    factories.PolicyFactory.create()
    permissions.grant(charlie, policy, [Right.VIEW])
    permissions.grant(group, other, [Right.VIEW])
    few = list(Policy.objects.visible_to(charlie).order_by("pk"))

    monkeypatch.setattr(permissions, "_FEW", 1)

    fresh = User.objects.get(pk=charlie.pk)
    assert list(Policy.objects.visible_to(fresh).order_by("pk")) == few == [policy, other]
    assert not permissions.only_shared(Policy.objects.all(), policy.owner).exists()
    assert permissions.only_shared(Policy.objects.all(), fresh).count() == 2


def test_rights_are_replaced_listed_and_taken_away(policy: Policy) -> None:
    bob, group = factories.charlie(), Group.objects.create(name="night shift")
    permissions.grant(bob, policy, [Right.EDIT, Right.RUN])
    permissions.grant(bob, policy, [Right.RUN])
    permissions.grant(group, policy, [Right.APPROVE_HOSTS])

    assert permissions.shares(policy) == [
        (bob, (Right.VIEW, Right.RUN)),
        (group, (Right.VIEW, Right.APPROVE_HOSTS)),
    ]
    assert permissions.shared_with(bob) == [(policy, (Right.VIEW, Right.RUN))]
    assert permissions.shared_with(group) == [(policy, (Right.VIEW, Right.APPROVE_HOSTS))]
    permissions.grant(bob, policy, [])
    assert [share.whom for share in permissions.shares(policy)] == [group]


def test_rights_follow_the_row_and_the_person_and_no_name(policy: Policy) -> None:
    charlie = factories.charlie()
    permissions.grant(charlie, policy, [Right.RUN])
    Policy.objects.filter(pk=policy.pk).update(name="renamed")
    assert permissions.may_run(charlie, Policy.objects.get(pk=policy.pk))

    User.objects.filter(pk=charlie.pk).delete()
    assert permissions.shares(policy) == []
    again = User.objects.create(username="charlie")
    assert not permissions.may_see(again, policy)


def test_only_superusers_choose_another_owner() -> None:
    alice, boss = factories.alice(), factories.UserFactory.create(is_superuser=True)
    gone = factories.UserFactory.create(is_active=False)

    assert list(permissions.possible_owners(User.objects.all(), alice)) == [alice]
    chosen = permissions.possible_owners(User.objects.all(), boss)
    assert alice in chosen
    assert gone not in chosen


def test_what_may_be_seen_is_what_is_visible(rows: list[Model]) -> None:
    people = [User.objects.get(username="alice"), factories.charlie()]

    for person in people:
        for row in rows:
            seen = permissions.visible(type(row)._default_manager.all(), person)
            assert permissions.may_see(person, row) == (row in list(seen)), row


def test_a_run_whose_owner_is_gone_is_nobodys(policy: Policy) -> None:
    run = runs.start(policy=policy, trigger=Trigger.MANUAL)
    run.owner = None

    assert not any(may(policy.owner, run) for may in MAY)
