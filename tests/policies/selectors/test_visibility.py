"""For a stranger, rows that they may not see do not exist."""

import pytest

from n2wbackup.lib import clock
from policies.domain.errors import InputError
from policies.models import Account, Policy, Run
from policies.selectors import labels, policies, runs
from scripts_admin import permissions
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

    (found,) = policies.may_be_frozen(backup.policy.owner)
    assert (found.owner, found.name) == ("alice", backup.policy.name)
    assert policies.may_be_frozen(factories.charlie()) == []


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
