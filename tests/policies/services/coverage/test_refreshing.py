"""The inventory follows AWS: deltas only, nothing gone by one look, and each failure told."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from n2wbackup.lib import clock
from policies.adapters.memory import MemoryCloud
from policies.domain.errors import ThrottledError
from policies.models import Account, InventoryItem, InventoryPlace
from policies.services.coverage import refreshing
from policies.services.entry import accounts
from tests import factories

EVERY = refreshing.EVERY


def look(moment: time_machine.Traveller) -> int:
    moment.shift(EVERY)
    return refreshing.tick()


def place() -> InventoryPlace:
    return InventoryPlace.objects.get()


def items() -> dict[str, InventoryItem]:
    return {row.resource_id: row for row in InventoryItem.objects.all()}


def test_everything_of_the_region_is_entered_with_its_tags_and_sizes(
    account: Account, cloud: MemoryCloud
) -> None:
    instance = cloud.add_instance(volumes=2)
    alone = cloud.add_volume().volume_id
    cloud.add_instance("eu-west-1")
    cloud.retag(instance.instance_id, {"Name": "web", "backup": "shop"})

    assert refreshing.tick() == 1

    found, boot = items(), instance.root_volume_id
    assert set(found) == {instance.instance_id, *instance.volume_ids, alone}
    row = found[instance.instance_id]
    assert (row.kind, row.name, row.size_gib, row.state) == ("instance", "web", 2, "running")
    assert row.tags == {"Name": "web", "backup": "shop"}
    assert (found[boot].instance_id, found[boot].is_boot) == (instance.instance_id, True)
    assert (found[alone].instance_id, found[alone].is_boot) == ("", False)
    assert place().seen_at == row.first_seen_at == clock.now()


def test_nothing_but_one_mark_is_written_when_nothing_changed(
    account: Account, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    for _ in range(3):
        cloud.add_instance()
    refreshing.tick()
    moment.shift(EVERY)

    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert refreshing.tick() == 1

    written = [
        query["sql"] for query in asked if query["sql"].startswith(("UPDATE", "INSERT", "DELETE"))
    ]
    assert all("inventoryplace" in sql or "policies_turn" in sql for sql in written)
    # Claimed, given back, and counted.
    assert len([sql for sql in written if "inventoryplace" in sql]) == 3
    assert place().seen_at == clock.now()


def test_a_change_is_entered_and_the_first_sight_stays(
    account: Account, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = cloud.add_volume().volume_id
    refreshing.tick()
    first = clock.now()
    cloud.retag(one, {"Name": "data"})

    look(moment)

    row = items()[one]
    assert (row.name, row.first_seen_at) == ("data", first)


def test_what_one_listing_lacks_is_missing_and_gone_only_later(
    account: Account, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    instance = cloud.add_instance(volumes=1)
    refreshing.tick()
    seen_at = clock.now()
    cloud.terminate(instance.instance_id)

    look(moment)
    missing = items()[instance.instance_id]
    look(moment)
    gone = items()[instance.instance_id]

    assert (missing.gone_at, missing.missing_since, missing.last_seen_at) == (
        None,
        seen_at + EVERY,
        seen_at,
    )
    assert (gone.gone_at, gone.last_seen_at) == (clock.now(), seen_at)


def test_what_comes_back_is_there_again(
    account: Account, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    one = cloud.add_volume()
    refreshing.tick()
    hidden = cloud._volumes.pop(one.volume_id)
    look(moment)
    look(moment)
    assert items()[one.volume_id].gone_at is not None
    cloud._volumes[one.volume_id] = hidden

    look(moment)

    row = items()[one.volume_id]
    assert (row.gone_at, row.missing_since, row.last_seen_at) == (None, None, None)


def test_a_failure_is_told_changes_nothing_and_is_tried_later_and_later(
    account: Account, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    cloud.add_instance()
    refreshing.tick()
    before, seen_at = items(), clock.now()
    pauses = []
    for _ in range(6):
        moment.move_to(place().next_at)
        cloud.fail_next("all_volumes", ThrottledError("AWS limits the rate: try again later."))
        refreshing.tick()
        pauses.append(place().next_at - clock.now())

    assert place().problem == "AWS limits the rate: try again later."
    assert (place().seen_at, place().failed_since) == (seen_at, seen_at + EVERY)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (EVERY, refreshing.SLOWEST)
    assert {key: row.digest for key, row in items().items()} == {
        key: row.digest for key, row in before.items()
    }
    moment.move_to(place().next_at)
    refreshing.tick()
    assert (place().problem, place().failed_since, place().failures) == ("", None, 0)


def test_a_missing_permission_is_told_in_the_words_of_aws(
    account: Account, cloud: MemoryCloud
) -> None:
    cloud.denied.add("DescribeVolumes")

    refreshing.tick()

    assert "lack the permission ec2:DescribeVolumes" in place().problem
    assert not InventoryItem.objects.exists()


def test_of_two_refreshes_of_one_place_only_that_with_the_claim_writes(
    account: Account, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    cloud.add_instance()
    slow = refreshing._claim()
    assert slow is not None
    assert refreshing._claim() is None  # nobody takes what is claimed
    moment.shift(refreshing.CLAIM)
    assert refreshing.tick() == 1
    cloud.add_instance()

    assert not refreshing.refresh(slow)

    assert InventoryItem.objects.filter(kind="instance").count() == 1


def test_a_clock_that_is_put_back_stops_no_refresh(
    account: Account, moment: time_machine.Traveller
) -> None:
    refreshing.tick()
    moment.shift(-timedelta(days=2))

    assert refreshing.tick() == 1


def test_chosen_regions_are_looked_at_and_others_forgotten(
    account: Account, cloud: MemoryCloud, moment: time_machine.Traveller
) -> None:
    here, there = cloud.add_volume(), cloud.add_volume("eu-west-1")
    account.regions = ["us-east-1", "eu-west-1"]
    accounts.save(account)
    assert refreshing.tick() == 2
    assert set(items()) == {here.volume_id, there.volume_id}

    account.regions = ["eu-west-1"]
    accounts.save(account)

    assert set(items()) == {there.volume_id}
    assert place().region == "eu-west-1"


def test_an_account_from_before_there_was_an_inventory_gets_its_place(
    db: None, cloud: MemoryCloud
) -> None:
    factories.AccountFactory.create()

    assert refreshing.tick() == 1


def test_who_lost_the_servers_role_sees_nothing_more_of_it(
    account: Account, cloud: MemoryCloud
) -> None:
    Account.objects.update(auth="instance", access_key_id="")
    cloud.add_instance()

    refreshing.tick()

    assert "not (or no longer) allowed to use it" in place().problem
    assert not InventoryItem.objects.exists()


@pytest.mark.parametrize(
    "value", ['"><svg onload=alert(1)>', "\u202eevil", "nul\0", "\ud800", "ü" * 256]
)
def test_evil_text_of_tags_is_kept_without_harm(
    account: Account, cloud: MemoryCloud, value: str
) -> None:
    one = cloud.add_volume().volume_id
    cloud.retag(one, {"Name": value, value: value})

    refreshing.tick()

    assert place().problem == ""
    assert "\u202e" not in items()[one].name
