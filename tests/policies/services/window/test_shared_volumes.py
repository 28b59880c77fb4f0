"""A volume that two targets of a policy share is fired once."""

from collections import Counter

from policies.domain.errors import NotPermittedError
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.ports import Instance
from tests import factories
from tests.policies.services.backup import Backup, snapshots_of


def fired(run: Run) -> Counter[str]:
    return Counter(snapshot.volume_id for snapshot in snapshots_of(run))


def sharing(backup: Backup) -> tuple[Instance, str]:
    """Give the policy a second instance that has a volume of the first one attached as well."""
    other, shared = backup.add_instance(), backup.instance.volume_ids[1]
    backup.cloud.attach_also(shared, other.instance_id)
    return other, shared


def test_a_volume_attached_to_two_target_instances_is_fired_once(backup: Backup) -> None:
    backup.scripts()
    other, shared = sharing(backup)

    run = backup.to_end()

    assert (run.state, run.consistency, run.reason) == (State.SUCCEEDED, "application", "")
    assert fired(run) == Counter([*backup.instance.volume_ids, *other.volume_ids])
    left_out = {
        c.request.instance_id: c.request.exclude_volume_ids
        for c in backup.calls("fire")
        if c.request
    }
    assert left_out == {backup.instance.instance_id: (), other.instance_id: (shared,)}


def test_a_volume_that_is_named_and_attached_to_two_targets_is_fired_once(backup: Backup) -> None:
    other, shared = sharing(backup)
    factories.PolicyTargetFactory.create(policy=backup.policy, instance_id="", volume_id=shared)

    run = backup.to_end()

    assert run.state == State.SUCCEEDED
    assert fired(run) == Counter([*backup.instance.volume_ids, *other.volume_ids])


def test_an_instance_whose_volumes_are_all_fired_with_another_makes_no_call(backup: Backup) -> None:
    other = backup.add_instance(volumes=1)
    backup.cloud.attach_also(other.root_volume_id, backup.instance.instance_id)

    run = backup.to_end()

    assert run.state == State.SUCCEEDED
    assert len(backup.calls("fire")) == 1
    assert fired(run) == Counter([*backup.instance.volume_ids, other.root_volume_id])


def test_a_shared_volume_stays_with_the_target_that_may_be_fired(backup: Backup) -> None:
    other, shared = sharing(backup)
    backup.cloud.fail_next("prove", NotPermittedError("The first one is denied."))

    run = backup.to_end()

    assert run.state == State.PARTIAL
    assert fired(run) == Counter([*other.volume_ids, shared])
