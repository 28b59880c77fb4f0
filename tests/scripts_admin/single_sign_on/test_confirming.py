"""Before secrets and rights a person shows anew at the provider who they are, and the provider says when."""

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from scripts_admin.domain.audit import Action
from scripts_admin.models import AuditEntry, User
from tests.ground.openid import Provider
from tests.scripts_admin.single_sign_on.visits import (
    BEGIN,
    CONNECT,
    RIGHT,
    come,
    linked,
    person,
    there,
    who,
)

pytestmark = pytest.mark.django_db


def test_a_person_without_a_password_confirms_at_the_provider(
    client: Client, provider: Provider
) -> None:
    linked(person("alice", password=""))
    come(client)
    key = client.session.session_key

    # To come by it is no confirmation: the provider may have let the person in without a question.
    answer = client.post("/profile/openid/disconnect/")
    assert answer["Location"] == f"{BEGIN}?next=%2Fprofile%2F"
    assert come(client, answer["Location"]) == "/profile/"

    sent = provider.asked[-1]
    assert (sent["prompt"], sent["max_age"]) == ("login", "0")
    client.post("/profile/openid/disconnect/")
    assert "You have no password" in client.get("/profile/").content.decode()
    assert SocialAccount.objects.exists()
    assert client.session.session_key == key
    assert AuditEntry.objects.filter(action=Action.LOGGED_IN).count() == 1


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"is_silent": True}, "does not say when you last showed who you are"),
        ({"takes_old": True}, "took your earlier login there"),
        ({"claims": {"sub": "b-1"}}, "Somebody else logged in at Example ID"),
        ({"claims": {"sub": "a-1", "auth_time": True}, "is_silent": True}, "does not say when"),
        ({"claims": {"sub": "a-1", "auth_time": 9e9}, "is_silent": True}, "earlier login"),
        ({"refuses": True}, "Example ID did not let you in"),
    ],
    ids=["silent", "old login", "somebody else", "no time", "a later time", "refused"],
)
def test_a_provider_that_did_not_ask_confirms_nothing(
    client: Client, provider: Provider, spoil: dict[str, object], sentence: str
) -> None:
    linked(person("alice", password=""))
    linked(person("bob", password=""), "b-1")
    come(client)
    for name, value in spoil.items():
        setattr(provider, name, value)

    assert come(client, f"{BEGIN}?next=/profile/") == "/profile/"

    assert sentence in client.get("/profile/").content.decode()
    assert who(client) == "alice"
    assert client.post("/profile/openid/disconnect/")["Location"].startswith(BEGIN)


def test_one_who_has_a_password_confirms_with_it_after_a_login_by_the_provider(
    client: Client, alice: User
) -> None:
    linked(alice)
    come(client)

    asked = client.post(CONNECT)["Location"]
    assert asked.startswith("/profile/confirm/")
    client.post(asked, {"password": RIGHT})

    assert client.post(CONNECT).status_code == 200


def test_a_confirmation_that_another_person_began_counts_for_nobody(
    client: Client, alice: User
) -> None:
    linked(alice)
    linked(bob := person("bob", password=""), "b-1")
    client.force_login(bob)
    back = there(client)
    states = client.session["socialaccount_states"]
    client.force_login(alice)
    session = client.session
    session["socialaccount_states"] = states
    session.save()

    assert client.get(back)["Location"] == "/profile/"

    assert "no longer logged in as who began this" in client.get("/profile/").content.decode()


def test_one_who_comes_by_the_provider_alone_confirms_there_and_adds_a_second_factor(
    client: Client,
) -> None:
    linked(person("alice", password=""))
    come(client)
    page = "/profile/factors/app/"

    asked = client.get(page)["Location"]
    assert asked.startswith(BEGIN)
    assert come(client, asked) == page

    assert client.get(page).status_code == 200
