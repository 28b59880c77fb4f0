"""Login by OpenID Connect, against a real small provider: who gets in, and that an address alone lets nobody in."""

from collections.abc import Callable

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from pytest_django import Settings

from n2wbackup.lib import clock
from scripts_admin.domain.audit import Action
from scripts_admin.models import AuditEntry, User
from scripts_admin.services import entering, people
from tests.ground.openid import Provider
from tests.policies.views import logins
from tests.scripts_admin.single_sign_on.visits import (
    BACK,
    BEGIN,
    CONNECT,
    MAIL,
    RIGHT,
    come,
    linked,
    person,
    said,
    there,
    who,
)

pytestmark = pytest.mark.django_db


def test_whoever_is_linked_gets_in_and_the_audit_says_so(client: Client, alice: User) -> None:
    linked(alice)

    assert come(client, f"{BEGIN}?next=/runs/") == "/runs/"

    assert who(client) == "alice"
    assert client.get("/runs/").status_code == 200
    assert AuditEntry.objects.filter(action=Action.LOGGED_IN).count() == 1
    assert SocialAccount.objects.get().extra_data == {}


def test_a_second_factor_is_asked_for_all_the_same(client: Client, alice: User) -> None:
    logins.add_app(linked(alice))

    assert come(client) == "/login/code/"
    assert who(client) == ""
    assert client.get("/policies/").status_code == 302

    answer = client.post("/login/code/", {"code": logins.code()})
    assert answer.status_code == 302
    assert who(client) == "alice"


def test_the_way_has_a_challenge_and_the_session_changes_its_key(
    client: Client, alice: User, provider: Provider
) -> None:
    linked(alice)
    back = there(client)
    assert provider.asked[-1]["redirect_uri"] == f"http://testserver{BACK}"
    assert provider.asked[-1]["code_challenge_method"] == "S256"
    planted = client.session.session_key

    client.get(back)

    assert client.session.session_key != planted


def test_an_address_alone_lets_nobody_in(client: Client, alice: User, settings: Settings) -> None:
    for settings.N2W_OIDC_INVITED_BY_EMAIL in (False, True):
        assert come(client) == "/login/"
        assert "Nobody here is linked to who you are at Example ID" in said(client)

    assert who(client) == ""
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1


def test_an_invitation_is_accepted_by_a_verified_address_if_the_operator_allows_it(
    client: Client, settings: Settings
) -> None:
    settings.N2W_OIDC_INVITED_BY_EMAIL = True
    word = entering.invite(User(username="alice", email=MAIL.upper()), person("boss"))

    assert come(client) == "/"

    assert who(client) == "alice"
    with pytest.raises(entering.LinkError):
        entering.invited(word)
    come(Client())
    assert SocialAccount.objects.count() == 1


def _becomes(**columns: object) -> Callable[[User], None]:
    return lambda invited: _set(invited, columns)


def _set(invited: User, columns: dict[str, object]) -> None:
    User.objects.filter(pk=invited.pk).update(**columns)


def _shares_the_address(_: User) -> None:
    User.objects.filter(pk=person("mallory").pk).update(email=MAIL)


def _has_another_link(invited: User) -> None:
    linked(invited, "b-2")


@pytest.mark.parametrize(
    "spoil",
    [
        _becomes(last_login=clock.now()),
        _becomes(is_staff=True),
        _becomes(is_active=False),
        _shares_the_address,
        _has_another_link,
    ],
    ids=["has been here", "staff", "inactive", "shared address", "other link"],
)
def test_no_other_person_is_linked_by_an_address(
    client: Client, settings: Settings, spoil: Callable[[User], None]
) -> None:
    settings.N2W_OIDC_INVITED_BY_EMAIL = True
    spoil(person("alice", password=""))
    before = SocialAccount.objects.count()

    assert come(client) == "/login/"

    assert who(client) == ""
    assert SocialAccount.objects.count() == before


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "a-1", "email": MAIL, "email_verified": False},
        {"sub": "a-1", "email": MAIL},
        {"sub": "a-1", "email": MAIL, "email_verified": "true"},
        {"sub": "a-1", "email": "", "email_verified": True},
        {"sub": "a-1", "email": "al\u0131ce@example.org", "email_verified": True},
    ],
    ids=["not verified", "not said", "a word", "empty", "letters that look alike"],
)
def test_an_address_that_the_provider_has_not_verified_links_nobody(
    client: Client, settings: Settings, provider: Provider, claims: dict[str, object]
) -> None:
    settings.N2W_OIDC_INVITED_BY_EMAIL = True
    person("alice", password="")
    User.objects.filter(pk=person("bob", password="").pk).update(email="")
    provider.claims = claims

    assert come(client) == "/login/"
    assert not SocialAccount.objects.exists()


def test_a_person_of_another_provider_is_nobody_here(client: Client, alice: User) -> None:
    linked(alice, key="oidc-of-another")

    assert come(client) == "/login/"
    assert who(client) == ""


def test_a_person_connects_on_their_profile_and_comes_by_it(client: Client, alice: User) -> None:
    client.force_login(alice)
    logins.confirm(client)

    answer = client.post(CONNECT)
    assert answer["Refresh"] == "0; url=/profile/openid/go/"
    assert come(client, "/profile/openid/go/") == "/profile/"

    assert "Disconnect" in client.get("/profile/").content.decode()
    assert SocialAccount.objects.get().user == alice
    told = [each.name for each in AuditEntry.objects.all() if "single sign-on" in str(each.changes)]
    assert told == ["alice"]
    assert come(fresh := Client()) == "/"
    assert who(fresh) == "alice"


def test_nothing_is_connected_unless_the_person_pressed_the_button_and_confirmed(
    client: Client, alice: User
) -> None:
    client.force_login(alice)

    assert client.get("/profile/openid/go/")["Location"] == "/profile/"
    assert client.get(CONNECT).status_code == 405
    assert "/profile/confirm/" in client.post(CONNECT)["Location"]
    assert Client(enforce_csrf_checks=True).post(CONNECT).status_code == 403

    assert not SocialAccount.objects.exists()


def test_who_is_linked_to_somebody_else_is_linked_to_nobody_more(
    client: Client, alice: User
) -> None:
    linked(person("bob"))
    client.force_login(alice)
    logins.confirm(client)
    client.post(CONNECT)

    assert come(client, "/profile/openid/go/") == "/profile/"

    assert "belongs to another user here" in client.get("/profile/").content.decode()
    assert SocialAccount.objects.get().user.username == "bob"


def test_a_way_that_one_person_began_links_no_other(client: Client, alice: User) -> None:
    client.force_login(alice)
    logins.confirm(client)
    client.post(CONNECT)
    back = there(client, "/profile/openid/go/")
    session = client.session
    states = session["socialaccount_states"]
    client.force_login(person("bob"))
    session = client.session
    session["socialaccount_states"] = states
    session.save()

    assert client.get(back)["Location"] == "/profile/"

    assert not SocialAccount.objects.exists()


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(
    client: Client, alice: User
) -> None:
    linked(alice)
    back = there(Client())

    answer = client.get(back)

    assert answer["Location"] == "/login/"
    assert who(client) == ""


def test_an_answer_counts_once(client: Client, alice: User) -> None:
    linked(alice)
    back = there(client)
    client.get(back)
    client.logout()

    assert client.get(back)["Location"] == "/login/"
    assert who(client) == ""


def test_a_deactivated_person_stays_out(client: Client, alice: User) -> None:
    people.deactivate(linked(alice), person("boss"))

    assert come(client) == "/login/"
    assert "This user cannot log in" in said(client)
    assert who(client) == ""


@pytest.mark.parametrize(
    "spoil",
    [
        {"says_issuer": "https://evil.example.org"},
        {"refuses": True},
        {"more": {"sub": "somebody-else"}},
        {"claims": {"email": MAIL, "email_verified": True}},
        {"claims": {"sub": "a" * 192}},
    ],
    ids=["issuer", "refused", "two people", "nobody", "no room"],
)
def test_a_provider_that_says_anything_else_lets_nobody_in(
    client: Client, alice: User, provider: Provider, spoil: dict[str, object]
) -> None:
    linked(alice)
    for name, value in spoil.items():
        setattr(provider, name, value)

    assert come(client) == "/login/"
    assert "Example ID d" in said(client)
    assert who(client) == ""


def test_a_provider_that_is_down_is_a_sentence_and_the_password_still_works(
    client: Client, alice: User, provider: Provider
) -> None:
    provider.is_broken = True

    assert client.get(BEGIN)["Location"] == "/login/"
    assert "Example ID does not answer as it should" in said(client)
    client.post("/login/", {"username": "alice", "password": RIGHT})
    assert who(client) == "alice"


def test_a_link_ends_by_its_person_and_by_a_superusers_new_link(
    client: Client, alice: User
) -> None:
    linked(alice)
    client.force_login(alice)
    logins.confirm(client)
    client.post("/profile/openid/disconnect/")
    assert not SocialAccount.objects.exists()

    linked(alice)
    entering.renew(alice, person("boss"))
    assert not SocialAccount.objects.exists()


def test_the_way_leads_nowhere_else(client: Client, alice: User) -> None:
    linked(alice)

    assert come(client, f"{BEGIN}?next=https://evil.example.org/") == "/"


@pytest.mark.usefixtures("alice")
def test_without_a_provider_there_is_nothing(client: Client, settings: Settings) -> None:
    assert BEGIN in said(client)
    settings.N2W_OIDC = ""

    assert BEGIN not in said(client)
    for address in (BEGIN, BACK, CONNECT, "/profile/openid/go/", "/profile/openid/disconnect/"):
        assert client.get(address).status_code == 404
        assert client.post(address).status_code == 404
