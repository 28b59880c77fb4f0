from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, transaction

from n2wbackup.lib.cas import compare_and_set
from scripts_admin.models import User


@pytest.mark.django_db
def test_a_row_that_is_as_expected_is_changed() -> None:
    alice = User.objects.create(username="alice", first_name="old")

    won = compare_and_set(
        User.objects.filter(pk=alice.pk), {"first_name": "old"}, first_name="new", last_name="x"
    )

    alice.refresh_from_db()
    assert won is True
    assert (alice.first_name, alice.last_name) == ("new", "x")


@pytest.mark.django_db
def test_a_row_that_has_changed_meanwhile_is_left_alone() -> None:
    alice = User.objects.create(username="alice", first_name="other")

    won = compare_and_set(User.objects.filter(pk=alice.pk), {"first_name": "old"}, first_name="new")

    alice.refresh_from_db()
    assert won is False
    assert alice.first_name == "other"


@pytest.mark.django_db
def test_none_is_compared_as_null() -> None:
    alice = User.objects.create(username="alice", last_login=None)
    row = User.objects.filter(pk=alice.pk)

    assert compare_and_set(row, {"last_login": None}, first_name="new") is True


@pytest.mark.django_db
def test_several_rows_are_a_mistake_and_none_is_changed() -> None:
    for name in ("alice", "bob"):
        User.objects.create(username=name, first_name="old")

    @transaction.atomic
    def change() -> None:
        User.objects.create(username="carol", first_name="with the change")
        compare_and_set(User.objects.all(), {"first_name": "old"}, first_name="new")

    with pytest.raises(ValueError, match=r"one row, but 2 rows of scripts_admin\.User matched"):
        change()

    assert set(User.objects.values_list("first_name", flat=True)) == {"old"}


@pytest.mark.django_db(transaction=True)
def test_of_many_who_race_exactly_one_wins() -> None:
    alice = User.objects.create(username="alice", first_name="free")
    racers = 8
    barrier = Barrier(racers)

    def race(number: int) -> bool:
        try:
            barrier.wait(timeout=20)
            return compare_and_set(
                User.objects.filter(pk=alice.pk), {"first_name": "free"}, first_name=str(number)
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(racers) as pool:
        won = list(pool.map(race, range(racers)))

    alice.refresh_from_db()
    assert won.count(True) == 1
    assert alice.first_name == str(won.index(True))
