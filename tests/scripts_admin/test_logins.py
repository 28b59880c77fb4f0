"""The brake on logins, through the real page: real rows, a clock of the test."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from n2wbackup.lib import clock
from scripts_admin.domain import brake
from scripts_admin.models import FailedLogins, User
from scripts_admin.services import logins

pytestmark = pytest.mark.django_db
RIGHT, WRONG = "correct horse battery", "wrong horse"
OFFICE, ELSEWHERE = "192.0.2.7", "198.51.100.9"
TOO_MANY = "There were too many failed logins. Try again in "


@pytest.fixture
def time() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2026-12-01T10:00:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def alice(time: time_machine.Traveller) -> User:
    return User.objects.create_user("alice", password=RIGHT)


def log_in(password: str, name: str = "alice", address: str = OFFICE) -> str:
    """Send the login form; return "in", or the page's sentence."""
    answer = Client(REMOTE_ADDR=address).post("/login/", {"username": name, "password": password})
    if answer.status_code == 302:
        return "in"
    return str(answer.context["form"].non_field_errors()[0])


def fail(times: int, name: str = "alice", address: str = OFFICE) -> None:
    for _ in range(times):
        assert "enter a correct name and password" in log_in(WRONG, name, address)


def test_a_few_failures_cost_nothing() -> None:
    fail(brake.FREE_FOR_A_NAME - 1)

    assert log_in(RIGHT) == "in"
    assert not FailedLogins.objects.exclude(failures=brake.FREE_FOR_A_NAME).exists()


def test_then_even_the_right_password_has_to_wait(time: time_machine.Traveller) -> None:
    fail(brake.FREE_FOR_A_NAME)

    assert log_in(RIGHT) == TOO_MANY + "5 seconds."
    time.shift(4)
    assert log_in(RIGHT) == TOO_MANY + "1 second."
    time.shift(2)
    assert log_in(RIGHT) == "in"


def test_a_try_while_waiting_makes_the_wait_no_longer(time: time_machine.Traveller) -> None:
    fail(brake.FREE_FOR_A_NAME)
    for _ in range(10):
        log_in(WRONG)

    time.shift(6)

    assert log_in(RIGHT) == "in"


def test_each_further_failure_doubles_the_wait(time: time_machine.Traveller) -> None:
    fail(brake.FREE_FOR_A_NAME)
    time.shift(6)
    fail(1)

    assert log_in(RIGHT) == TOO_MANY + "10 seconds."


def test_a_guesser_does_not_lock_out_the_user_at_another_address() -> None:
    fail(brake.FREE_FOR_A_NAME, address=ELSEWHERE)

    assert log_in(RIGHT, address=OFFICE) == "in"


def test_an_address_that_tries_many_names_has_to_wait_for_all_of_them() -> None:
    for number in range(brake.FREE_FOR_AN_ADDRESS):
        fail(1, name=f"user{number}")

    assert log_in(RIGHT).startswith(TOO_MANY)
    assert log_in(RIGHT, address=ELSEWHERE) == "in"


def test_this_machine_as_a_whole_is_never_braked() -> None:
    """Without a trusted proxy everybody comes from 127.0.0.1."""
    for number in range(brake.FREE_FOR_AN_ADDRESS + 5):
        fail(1, name=f"user{number}", address="127.0.0.1")

    assert log_in(RIGHT, address="127.0.0.1") == "in"


def test_failures_are_forgotten(time: time_machine.Traveller) -> None:
    fail(brake.FREE_FOR_A_NAME)
    time.shift(brake.FORGOTTEN_SECONDS + 1)

    assert log_in(RIGHT) == "in"
    assert not FailedLogins.objects.filter(last_at__lt=clock.now()).exists()


def test_a_clock_that_is_put_back_locks_nobody_out(time: time_machine.Traveller) -> None:
    fail(brake.FREE_FOR_A_NAME)
    time.shift(-timedelta(days=1))

    assert log_in(RIGHT) == "in"


def test_the_admin_has_no_login_of_its_own() -> None:
    answer = Client().post("/admin/login/?next=/admin/", {"username": "alice", "password": RIGHT})

    assert answer.status_code == 302
    assert answer["Location"] == "/login/?next=/admin/"


def test_tries_at_the_same_time_are_all_counted_before_a_password_is_checked() -> None:
    waits = [logins.begin("alice", OFFICE) for _ in range(50)]

    assert waits.count(0) == brake.FREE_FOR_A_NAME


def test_failures_are_logged_and_a_password_in_the_wrong_field_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="scripts_admin.services.logins"):
        log_in(WRONG)
        log_in(WRONG, name=RIGHT)

    assert "login of alice from 192.0.2.7 failed: wrong name or password" in caplog.text
    assert "login of an unknown user from 192.0.2.7 failed" in caplog.text
    assert RIGHT not in caplog.text
    assert WRONG not in caplog.text


def test_a_user_who_may_not_log_in_counts_as_a_failure(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)

    for _ in range(brake.FREE_FOR_A_NAME):
        log_in(RIGHT)

    assert log_in(RIGHT).startswith(TOO_MANY)


def test_a_form_without_a_password_costs_no_try() -> None:
    Client().post("/login/", {"username": "alice", "password": ""})

    assert not FailedLogins.objects.exists()
