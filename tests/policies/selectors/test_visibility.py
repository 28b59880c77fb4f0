"""For a stranger, rows that they may not see do not exist."""

from datetime import timedelta

import pytest

from n2wbackup.lib import clock, keyset
from policies.domain.errors import InputError
from policies.domain.runs.sequence import State
from policies.models import Account, DailyCount, DailySum, Policy, Run
from policies.selectors import calendars, labels, policies, runs
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import Folder
from tests import factories
from tests.policies.services.backup import Backup


def test_the_owner_sees_what_is_hers_and_a_stranger_nothing(backup: Backup) -> None:
    run = backup.start()
    alice, charlie = backup.policy.owner, factories.charlie()

    for rows, one in ((Policy, backup.policy), (Account, backup.policy.account), (Run, run)):
        assert list(rows.objects.visible_to(alice)) == [one]
        assert not rows.objects.visible_to(charlie).exists()
    assert [row.id for row in runs.recent(alice)] == [run.pk]
    assert runs.recent(charlie) == []


def test_a_stranger_is_told_that_the_policy_does_not_exist(backup: Backup) -> None:
    assert labels.policy("alice/policy1", backup.policy.owner) == backup.policy

    with pytest.raises(InputError, match=r"There is no policy alice/policy1"):
        labels.policy("alice/policy1", factories.charlie())


def test_a_superuser_sees_all_and_who_was_switched_off_nothing(backup: Backup) -> None:
    run = backup.start()
    chief = factories.UserFactory.create(username="chief", is_superuser=True)
    alice = backup.policy.owner
    alice.is_active = False

    assert list(Run.objects.visible_to(chief)) == [run]
    assert list(Run.objects.visible_to(alice)) == []


def test_a_frozen_policy_alarms_its_owner_and_no_stranger(backup: Backup) -> None:
    Policy.objects.update(may_be_frozen_since=clock.now())

    (found,) = policies.may_be_frozen(backup.policy.owner, 5)
    assert (found.owner, found.name) == ("alice", backup.policy.name)
    assert policies.may_be_frozen(factories.charlie(), 5) == []


def test_a_folder_is_seen_by_its_owner_and_whom_it_was_shared_with(backup: Backup) -> None:
    folder = backup.policy.folder
    bob, charlie = factories.bob(), factories.charlie()

    for user in (backup.policy.owner, bob):
        assert list(Folder.objects.visible_to(user)) == [folder]
        assert permissions.may_run(user, folder)
    assert list(Folder.objects.visible_to(charlie)) == []
    assert not permissions.may_run(charlie, folder)
    # The right to run a folder's scripts gives no right to see its owner's policies and runs.
    assert not Policy.objects.visible_to(bob).exists()


@pytest.mark.parametrize("label", ["policy1", "/policy1", "alice/", ""])
def test_a_label_that_names_no_policy_is_refused(db: None, label: str) -> None:
    with pytest.raises(InputError, match="does not name a policy: write OWNER/NAME"):
        labels.policy(label)


def test_a_policy_name_with_a_dot_is_explained(db: None) -> None:
    with pytest.raises(
        InputError, match="A dot is not allowed, as a script's base name ends at its first dot"
    ):
        labels.policy("alice/my.policy")


@pytest.mark.parametrize("key", ["nonsense", "0b0e2a1e-0000-4000-8000-000000000000"])
def test_a_run_that_is_not_there_is_one_sentence(db: None, key: str) -> None:
    with pytest.raises(InputError, match=f"{key}.*list_runs"):
        labels.run(key)


@pytest.mark.parametrize("most", [30, 0])
def test_pages_mix_what_is_owned_and_what_is_shared_in_the_order_of_the_list(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(permissions, "_MOST_PARTS", most)
    bob = factories.UserFactory.create(username="bob")
    hers = [backup.policy, factories.PolicyFactory.create(owner=backup.policy.owner)]
    hidden = factories.PolicyFactory.create(owner=backup.policy.owner)
    own = factories.PolicyFactory.create(owner=bob)
    for policy in hers:
        permissions.grant(bob, policy, [Right.VIEW])
    same = clock.now()  # the key decides
    for number, policy in enumerate([*hers, hidden, own, *hers, own, hidden, *hers]):
        at = same if number % 2 else clock.now()
        factories.RunFactory.create(policy=policy, state=State.FAILED, ended_at=at, created_at=at)
    rows, parts = runs.listed(bob), permissions.parts(Run, bob)
    wanted = list(rows.order_by(*runs.NEWEST))
    assert len(wanted) == 8

    found: list[Run] = []
    page = keyset.page(rows, runs.NEWEST, 3, parts=parts)
    while found := [*found, *page.rows]:
        if not page.after:
            break
        page = keyset.page(rows, runs.NEWEST, 3, after=page.after, parts=parts)
    back = keyset.page(rows, runs.NEWEST, 3, before=page.before, parts=parts)

    assert found == wanted
    assert back.rows == wanted[3:6]
    assert [r for some in keyset.batches(rows, runs.NEWEST, 3, parts) for r in some] == wanted


def test_the_calendar_of_all_has_what_is_shared(backup: Backup) -> None:
    charlie, today = factories.charlie(), clock.now().date()
    other = factories.PolicyFactory.create(owner=backup.policy.owner)
    for policy in (backup.policy, other):
        for days, count in ((3, 2), (0, 1)):
            DailyCount.objects.create(
                policy=policy, day=today - timedelta(days=days), state="failed", runs=count
            )
    DailySum.objects.create(
        owner=backup.policy.owner, day=today - timedelta(days=2), state="failed", runs=4
    )
    permissions.grant(charlie, backup.policy, [Right.VIEW])

    seen = calendars.of_visible(charlie)

    assert seen == {
        today - timedelta(days=3): {"failed": 2},
        today: {"failed": 1},
    }
