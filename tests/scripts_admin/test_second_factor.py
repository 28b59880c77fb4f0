"""Nobody gets in with half a login, and the way in can be neither guessed, replayed, planted nor redirected."""

import json
import logging
import time

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.contrib.auth import SESSION_KEY
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from scripts_admin.domain import brake
from scripts_admin.domain.audit import Action
from scripts_admin.models import AuditEntry, User
from scripts_admin.services import people, sessions, users
from tests.policies.views import logins

pytestmark = pytest.mark.django_db
RIGHT = "correct horse battery"


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: object) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path
    cache.clear()  # it remembers the codes of the test before


@pytest.fixture
def alice() -> User:
    alice = User(username="alice", is_staff=True, is_superuser=True)
    alice.set_password(RIGHT)
    users.save(alice)
    return alice


@pytest.fixture
def codes(alice: User) -> list[str]:
    return logins.add_app(alice)


def password(client: Client, word: str = RIGHT, **more: str) -> str:
    answer = client.post("/login/", {"username": "alice", "password": word} | more)
    return answer.headers.get("Location", "")


def test_without_a_second_factor_the_password_is_enough(client: Client, alice: User) -> None:
    assert password(client, next="/runs/") == "/runs/"
    assert client.get("/runs/").status_code == 200


@pytest.mark.usefixtures("codes")
@pytest.mark.parametrize(
    "path",
    [
        "/policies/",
        "/people/",
        "/profile/",
        "/profile/factors/app/",
        "/profile/factors/app/remove/",
        "/profile/factors/codes/",
        "/profile/factors/codes/download/",
        "/profile/factors/passkeys/add/",
        "/profile/confirm/",
        "/profile/password/",
        "/admin/",
        "/admin/scripts_admin/user/",
        "/admin/autocomplete/",
    ],
)
def test_half_logged_in_is_not_logged_in(client: Client, path: str) -> None:
    assert password(client) == "/login/code/"

    for answer in (client.get(path), client.post(path)):
        if answer.status_code == 405:  # a page that takes no form
            continue
        assert answer.status_code == 302
        assert answer["Location"].startswith(("/login/", "/admin/login/"))
    assert SESSION_KEY not in client.session


@pytest.mark.usefixtures("codes")
def test_the_audit_has_a_login_after_the_second_step_only(client: Client) -> None:
    logged_in = AuditEntry.objects.filter(action=Action.LOGGED_IN)
    password(client)
    client.post("/login/code/", {"code": "000000"})
    assert not logged_in.exists()
    assert AuditEntry.objects.filter(action=Action.LOGIN_REFUSED).count() == 1

    client.post("/login/code/", {"code": logins.code()})

    assert logged_in.count() == 1


@pytest.mark.usefixtures("codes")
def test_a_code_of_the_app_lets_in_to_where_the_person_wanted(client: Client) -> None:
    password(client, next="/runs/")

    answer = client.post("/login/code/", {"code": logins.code()})

    assert answer["Location"] == "/runs/"
    assert client.get("/runs/").status_code == 200


def test_a_recovery_code_lets_in_once(client: Client, codes: list[str]) -> None:
    for expected in (302, 200):
        password(client)
        answer = client.post("/login/code/", {"code": codes[0]})
        assert answer.status_code == expected
        client.post("/logout/")


@pytest.mark.usefixtures("codes")
def test_a_code_is_good_once_on_every_server(client: Client) -> None:
    with time_machine.travel("2026-12-01T10:00:00Z", tick=False):
        code = logins.code()
        password(client)
        assert client.post("/login/code/", {"code": code}).status_code == 302
        cache.clear()  # another server has another memory
        other = Client()
        password(other)

        answer = other.post("/login/code/", {"code": code})

    assert "it was used before" in answer.content.decode()


@pytest.mark.usefixtures("codes")
def test_codes_cannot_be_guessed_even_with_the_password(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with time_machine.travel("2026-12-01T10:00:00Z", tick=False):
        for number in range(brake.FREE_FOR_A_NAME):
            each = Client(REMOTE_ADDR=f"192.0.2.{number}")  # the address does not matter
            password(each)  # nor does it help to begin anew
            assert (
                "This code is wrong"
                in each.post("/login/code/", {"code": "000000"}).content.decode()
            )
        password(client)

        answer = client.post("/login/code/", {"code": logins.code()})

    assert "too many failed logins. Try again in 5 seconds" in answer.content.decode()
    assert "login of alice from the second step failed: wrong code" in caplog.text
    assert "000000" not in caplog.text


@pytest.mark.usefixtures("codes")
def test_a_planted_session_key_is_worth_nothing_at_either_step(client: Client) -> None:
    client.get("/login/?next=/runs/")
    client.session.save()
    session = client.session
    session["planted"] = 1
    session.save()
    client.cookies["sessionid"] = str(session.session_key)
    planted = session.session_key

    password(client)
    half = client.session.session_key
    client.post("/login/code/", {"code": logins.code()})
    whole = client.session.session_key

    assert len({planted, half, whole}) == 3
    stranger = Client()
    for key in (planted, half):
        stranger.cookies["sessionid"] = str(key)
        assert stranger.get("/runs/").status_code == 302
        assert stranger.get("/login/code/")["Location"] == "/login/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_to_no_other_server(client: Client, alice: User, target: str) -> None:
    assert password(client, next=target) == "/"
    assert client.post(f"/profile/confirm/?next={target}", {"password": RIGHT})["Location"] == "/"
    logins.add_app(alice)
    client.post("/logout/")
    password(client, next=target)
    assert client.post(f"/login/code/?next={target}", {"code": logins.code()})["Location"] == "/"


def test_whoever_fails_hears_the_same_sentence(client: Client, alice: User) -> None:
    gone = User(username="gone", is_active=False)
    gone.set_password(RIGHT)
    users.save(gone)
    said = set()
    for name, word in (("alice", "wrong"), ("nobody", RIGHT), ("gone", RIGHT)):
        answer = client.post("/login/", {"username": name, "password": word})
        said.add(str(answer.context["form"].non_field_errors()))

    assert len(said) == 1


def test_a_deactivated_person_is_out_at_once_and_stays_out(client: Client, alice: User) -> None:
    boss = User(username="boss", is_superuser=True)
    users.save(boss)
    password(client)
    assert client.get("/runs/").status_code == 200

    people.deactivate(alice, boss)

    assert client.get("/runs/").status_code == 302
    people.reactivate(alice, boss)
    assert client.get("/runs/").status_code == 302


@pytest.mark.usefixtures("codes")
def test_who_is_deactivated_between_the_two_steps_does_not_get_in(
    client: Client, alice: User
) -> None:
    password(client)
    User.objects.update(is_active=False)

    answer = client.post("/login/code/", {"code": logins.code()})

    assert answer["Location"] == "/login/"
    assert SESSION_KEY not in client.session


def test_secrets_of_the_second_factor_are_encrypted_and_change_their_key(
    alice: User, codes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {row.type: json.dumps(row.data) for row in Authenticator.objects.all()}
    assert logins.SECRET not in str(before)
    assert codes[0] not in str(before)

    call_command("rekey")

    assert "2 rekeyed" in capsys.readouterr().out
    for row in Authenticator.objects.all():
        assert json.dumps(row.data) != before[row.type]
    assert Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes() == codes


def test_the_first_code_turns_the_app_on_and_shows_recovery_codes(
    client: Client, alice: User
) -> None:
    password(client)
    page = client.get("/profile/factors/app/")
    secret = page.context["form"].secret
    assert "<svg" in page.content.decode()

    answer = client.post("/profile/factors/app/", {"code": logins.code(secret)}, follow=True)

    assert answer.redirect_chain[-1][0] == "/profile/factors/codes/"
    assert Authenticator.objects.filter(user=alice).count() == 2
    assert client.get("/profile/").context["codes"]


def test_a_changed_password_ends_the_other_sessions_and_not_this_one(
    client: Client, alice: User
) -> None:
    other = Client()
    for each in (client, other):
        password(each)
    new = "another horse battery"

    client.post(
        "/profile/password/", {"old_password": RIGHT, "new_password1": new, "new_password2": new}
    )

    assert client.get("/runs/").status_code == 200
    assert other.get("/runs/").status_code == 302
    assert len(sessions.opened(alice)) == 1


def test_a_person_ends_their_own_sessions_and_no_others(client: Client, alice: User) -> None:
    bob = User(username="bob")
    bob.set_password(RIGHT)
    users.save(bob)
    his, other = Client(), Client()
    his.post("/login/", {"username": "bob", "password": RIGHT})
    for each in (client, other):
        password(each)
    of_bob = sessions.opened(bob)[0].id

    assert client.post(f"/profile/sessions/{of_bob}/end/").status_code == 404
    hers = sessions.opened(alice, client.session.session_key or "")
    gone = next(each for each in hers if not each.is_this)
    client.post(f"/profile/sessions/{gone.id}/end/")

    assert other.get("/runs/").status_code == 302
    assert client.get("/runs/").status_code == his.get("/runs/").status_code == 200
    password(other)
    client.post("/profile/sessions/end-others/")
    assert other.get("/runs/").status_code == 302
    assert his.get("/runs/").status_code == 200


def test_guesses_of_the_present_password_are_braked_on_every_page(
    client: Client, alice: User
) -> None:
    password(client)
    with time_machine.travel(time.time(), tick=False):
        for _ in range(brake.FREE_FOR_A_NAME):
            client.post("/profile/confirm/", {"password": "wrong"})
        for path, form in (
            ("/profile/confirm/", {"password": RIGHT}),
            ("/profile/password/", {"old_password": RIGHT}),
            ("/login/", {"username": "alice", "password": RIGHT}),
        ):
            assert "too many failed logins" in client.post(path, form).content.decode()
