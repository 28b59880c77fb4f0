"""Copies that somebody deleted outside are gone, are told, and let no other copy go."""

import pytest

from policies.domain.errors import UnreachableError
from policies.models import Alarm, Turn
from policies.selectors import copies as copies_selector
from policies.services.copies import looking
from tests.policies.services.copies.ground import THERE, Copying, later, state
from tests.policies.services.copies.test_keeping import nights

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def look() -> None:
    Turn.objects.all().delete()
    looking.tick()


def delete(copying: Copying, *snapshot_ids: str) -> None:
    for each in snapshot_ids:
        copying.cloud.delete_snapshot(each)


def test_a_copy_that_was_deleted_outside_is_gone_and_told_once(copying: Copying) -> None:
    copying.rule()
    new, old = nights(copying, 2)
    delete(copying, new.copies.get().snapshot_id)

    with later(20):
        look()
        look()

    assert (state(new), state(old)) == (["gone"], ["completed"])
    assert copies_selector.usable(new) == []
    (alarm,) = Alarm.objects.all()
    assert f"a copy in {THERE} is gone" in alarm.title
    assert "no longer in AWS" in new.events.latest("pk").text


def test_what_aws_has_or_may_not_show_yet_stays(copying: Copying) -> None:
    copying.rule()
    run = copying.backed_up()
    copying.copied(run)
    look()
    assert state(run) == ["completed"]
    delete(copying, run.copies.get().snapshot_id)
    look()  # it is young
    assert state(run) == ["completed"]
    copying.cloud.fail_next("describe", UnreachableError("no"))
    with later(20):
        look()
    assert state(run) == ["completed"]
    assert not Alarm.objects.exists()


def test_the_older_copies_stay_when_the_newer_ones_were_deleted_outside(copying: Copying) -> None:
    copying.rule(keep_last=1)
    new, old = nights(copying, 2)
    delete(copying, new.copies.get().snapshot_id)

    with later(20):
        copying.clean()
        copying.clean()

    assert (state(new), state(old)) == (["gone"], ["completed"])
    assert len(copying.in_aws()) == 1


def test_nothing_goes_while_aws_cannot_be_asked(copying: Copying) -> None:
    copying.rule(keep_last=1)
    new, old = nights(copying, 2)
    copying.cloud.fail_next("describe", UnreachableError("no"))

    copying.clean()
    assert (state(new), state(old)) == (["completed"], ["completed"])
    copying.clean()
    assert (state(new), state(old)) == (["completed"], ["deleted"])
