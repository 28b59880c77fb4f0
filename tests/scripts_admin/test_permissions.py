"""Who may see, change, run and share: Alice is the owner, Bob got a permission, Charlie is a stranger."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from guardian.shortcuts import assign_perm

from policies.domain.runs.trigger import Trigger
from policies.models import Account, AlarmReceivers, Policy, PolicyTarget, Run, Schedule
from policies.services import runs
from scripts_admin import permissions
from scripts_admin.models import Folder, User
from tests import factories

pytestmark = pytest.mark.django_db
MAY = [permissions.may_see, permissions.may_change, permissions.may_run, permissions.may_share]


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


def test_a_folder_that_is_granted_may_be_seen_run_and_changed_but_not_shared(
    policy: Policy,
) -> None:
    bob, folder = factories.bob(), policy.folder
    permissions.grant(bob, folder)

    assert [may(bob, folder) for may in MAY] == [True, True, True, False]
    assert list(Folder.objects.visible_to(bob)) == [folder]
    assert not permissions.may_see(bob, policy)


def test_a_grant_to_a_group_counts_for_its_members(policy: Policy) -> None:
    bob = factories.bob()
    group = Group.objects.create(name="night shift")
    bob.groups.add(group)
    assign_perm("scripts_admin.use_folder", group, policy.folder)

    assert permissions.may_run(User.objects.get(pk=bob.pk), policy.folder)
    assert list(Folder.objects.visible_to(bob)) == [policy.folder]


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
