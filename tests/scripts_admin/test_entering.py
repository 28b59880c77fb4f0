"""The link of an empty server and the link of an invitation: one use, and nobody else."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import SESSION_KEY
from django.db import connection
from django.test import Client
from pytest_django import Settings

from n2wbackup.settings import logging as log_settings
from scripts_admin.models import User
from scripts_admin.services import entering, people, users

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"
FIRST = {
    "username": "anna",
    "email": "anna@example.org",
    "new_password1": GOOD,
    "new_password2": GOOD,
}
CHOSEN = {"new_password1": GOOD, "new_password2": GOOD}


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: object) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path


@pytest.fixture
def boss() -> User:
    boss = User(username="boss", is_superuser=True, is_staff=True)
    users.save(boss)
    return boss


def test_the_link_makes_the_first_superuser_and_logs_them_in(client: Client) -> None:
    word = entering.first_link()
    assert client.get(f"/first/{word}/").status_code == 200

    answer = client.post(f"/first/{word}/", FIRST)

    anna = User.objects.get()
    assert answer.status_code == 302
    assert anna.is_superuser
    assert anna.is_staff
    assert client.session[SESSION_KEY] == str(anna.pk)


def test_looking_at_the_link_does_not_use_it_up(client: Client) -> None:
    word = entering.first_link()
    for _ in range(3):
        client.get(f"/first/{word}/")

    assert client.post(f"/first/{word}/", FIRST).status_code == 302


def test_a_used_or_wrong_link_is_no_page_and_says_what_to_do(client: Client) -> None:
    word = entering.first_link()
    client.post(f"/first/{word}/", FIRST)

    for each in (word, "wrong"):
        answer = Client().get(f"/first/{each}/")
        assert answer.status_code == 404
        assert "prints a new link" in answer.content.decode()
    assert Client().post(f"/first/{word}/", FIRST | {"username": "eve"}).status_code == 404
    assert User.objects.count() == 1


def test_there_is_no_link_once_there_is_a_user(client: Client, boss: User) -> None:
    assert entering.first_link() == ""


def test_a_link_from_before_the_first_user_is_dead(client: Client) -> None:
    word = entering.first_link()
    users.save(User(username="boss"))

    assert client.get(f"/first/{word}/").status_code == 404
    assert client.post(f"/first/{word}/", FIRST).status_code == 404


def test_a_new_start_prints_a_new_link_and_the_old_one_is_dead(client: Client) -> None:
    old, new = entering.first_link(), entering.first_link()

    assert client.get(f"/first/{old}/").status_code == 404
    assert client.get(f"/first/{new}/").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"new_password1": "12345", "new_password2": "12345"},
        {"username": "Anna"},
        {"new_password2": "x"},
    ],
)
def test_what_is_wrong_is_said_and_the_link_stays(client: Client, wrong: dict[str, str]) -> None:
    word = entering.first_link()

    answer = client.post(f"/first/{word}/", FIRST | wrong)

    assert "Nothing was saved" in answer.content.decode()
    assert not User.objects.exists()
    assert client.get(f"/first/{word}/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_the_link_at_once_one_wins() -> None:
    word = entering.first_link()
    start, ends = threading.Barrier(2), []

    def use(name: str) -> None:
        start.wait()
        try:
            entering.make_first(word, User(username=name), GOOD)
            ends.append("in")
        except entering.LinkError:
            ends.append("out")
        finally:
            connection.close()

    threads = [threading.Thread(target=use, args=(name,)) for name in ("anna", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ends) == ["in", "out"]
    assert User.objects.count() == 1


def test_the_link_is_kept_as_a_digest_only() -> None:
    word = entering.first_link()

    with connection.cursor() as cursor:
        cursor.execute("SELECT digest FROM scripts_admin_firstlink")
        assert word not in str(cursor.fetchall())


@pytest.mark.parametrize("kind", ["first", "invited"])
def test_no_log_line_has_the_link(kind: str) -> None:
    line = f'{{"request": "GET /{kind}/5.abc-DEF_9/", "code": 200}}'

    assert "abc" not in log_settings.hide_known_secrets(None, "", line)


def test_an_invited_person_chooses_a_password_once(client: Client, boss: User) -> None:
    word = entering.invite(User(username="carol"), boss)

    answer = client.post(f"/invited/{word}/", CHOSEN)

    carol = User.objects.get(username="carol")
    assert answer.status_code == 302
    assert carol.check_password(GOOD)
    assert client.session[SESSION_KEY] == str(carol.pk)
    again = Client().post(f"/invited/{word}/", CHOSEN)
    assert again.status_code == 404
    assert "Ask a superuser" in again.content.decode()


def test_an_invitation_ends_after_three_days(client: Client, boss: User) -> None:
    with time_machine.travel("2026-12-01T10:00:00Z", tick=False) as time:
        word = entering.invite(User(username="carol"), boss)
        time.shift(timedelta(hours=71, minutes=59))
        assert client.get(f"/invited/{word}/").status_code == 200
        time.shift(timedelta(minutes=2))
        assert client.get(f"/invited/{word}/").status_code == 404


def test_a_new_link_ends_the_one_before(client: Client, boss: User) -> None:
    old = entering.invite(User(username="carol"), boss)
    new = entering.renew(User.objects.get(username="carol"), boss)

    assert client.get(f"/invited/{old}/").status_code == 404
    assert client.get(f"/invited/{new}/").status_code == 200


def test_the_link_of_a_deactivated_person_is_dead(client: Client, boss: User) -> None:
    word = entering.invite(User(username="carol"), boss)
    people.deactivate(User.objects.get(username="carol"), boss)

    assert client.get(f"/invited/{word}/").status_code == 404


@pytest.mark.parametrize("word", ["", "5", "5.", "x.y", "999999999999999999999.abc-def", "٣.abc"])
def test_what_is_no_invitation_is_no_page(client: Client, word: str) -> None:
    assert client.get(f"/invited/{word}/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_an_invitation_at_once_one_wins(boss: User) -> None:
    word = entering.invite(User(username="carol"), boss)
    start, ends = threading.Barrier(2), []

    def use(password: str) -> None:
        start.wait()
        try:
            entering.accept(word, password)
            ends.append("in")
        except entering.LinkError:
            ends.append("out")
        finally:
            connection.close()

    threads = [threading.Thread(target=use, args=(each,)) for each in (GOOD, f"{GOOD} 2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ends) == ["in", "out"]
