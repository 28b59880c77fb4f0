"""The pages of keys and hosts: what they show, what a person decides there, and what they never show."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from n2wbackup.lib import clock
from policies.services.entry import hosts as entry
from scripts_admin import permissions
from scripts_admin.domain.ssh import PublicKey
from scripts_admin.hosts import asking, keypairs
from scripts_admin.hosts.asking import Answer, NotAskedError
from scripts_admin.models import Folder, HostState, SshHost, SshKey, User
from scripts_admin.services import folders, hosts
from tests import factories
from tests.policies.views import logins

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
OLD, NEW = keypairs.make().public, keypairs.make().public
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def folder(alice: User) -> Folder:
    return folders.of(alice)


@pytest.fixture
def browser(alice: User) -> Client:
    made = Client()
    made.force_login(alice)
    logins.confirm(made)
    return made


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> dict[str, PublicKey]:
    shown: dict[str, PublicKey] = {}

    def ask(name: str, _port: int, _seconds: float, _kinds: Any, **_: object) -> Answer:
        if name not in shown:
            raise NotAskedError(f"{name} did not answer {EVIL}")
        return Answer(shown[name], "10.0.0.7")

    monkeypatch.setattr(asking, "ask", ask)
    return shown


def host(folder: Folder, **more: Any) -> SshHost:
    given = {"name": "db1", "added_at": clock.now(), "state": HostState.SEEN, **more}
    return SshHost.objects.create(folder=folder, **given)


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer
    return str(answer.content.decode())


def post(browser: Client, page: str, /, *words: object, **form: object) -> str:
    return text(browser.post(reverse(page, args=words), form, follow=True))


def test_a_key_is_made_shown_by_its_public_half_and_retired(
    browser: Client, folder: Folder
) -> None:
    page = post(browser, "ssh-keys", "alice", do="make")

    key = SshKey.objects.get()
    assert key.authorized_keys in page
    assert key.fingerprint in page
    assert "PRIVATE KEY" not in page
    secret = key.private.splitlines()[1]
    assert secret not in page

    page = post(browser, "ssh-keys", "alice", do="retire", key=key.pk)
    assert "is retired and destroyed" in page
    assert "restrict ssh-ed25519" not in page
    post(browser, "ssh-keys", "alice", do="remove", key=key.pk)
    assert not SshKey.objects.exists()


def test_a_key_is_imported_and_never_shown_again(browser: Client, folder: Folder) -> None:
    pair = keypairs.make()

    page = post(browser, "ssh-keys", "alice", do="bring", private=pair.private, passphrase="")

    assert SshKey.objects.get().public == str(pair.public)
    assert pair.private.splitlines()[1] not in page


def test_a_key_that_is_refused_says_why_and_is_not_filled_in_again_with_its_passphrase(
    browser: Client, folder: Folder
) -> None:
    page = post(browser, "ssh-keys", "alice", do="bring", private=EVIL, passphrase="correct horse")

    assert "This is not a private SSH key" in page
    assert "correct horse" not in page
    assert EVIL not in page
    assert not SshKey.objects.exists()


def test_a_private_key_that_is_refused_does_not_come_back_in_the_page(
    browser: Client, folder: Folder
) -> None:
    private = keypairs.make().private
    form = {"do": "bring", "private": private}

    wrong = post(browser, "ssh-keys", "alice", passphrase="a wrong one", **form)
    post(browser, "ssh-keys", "alice", **form)
    twice = post(browser, "ssh-keys", "alice", **form)

    assert "leave the passphrase empty" in wrong
    assert "is here already" in twice
    for page in (wrong, twice):
        assert private.splitlines()[1] not in page


def test_nobody_changes_keys_or_hosts_without_a_confirmation(alice: User, folder: Folder) -> None:
    made = host(folder, seen=str(OLD))
    stranger = Client()
    stranger.force_login(alice)

    for name, words, form in (
        ("ssh-keys", ["alice"], {"do": "make"}),
        ("ssh-hosts", ["alice"], {"name": "db2", "port": "22"}),
        ("ssh-host", ["alice", made.pk], {"do": "approve", "fingerprint": OLD.fingerprint}),
    ):
        answer = stranger.post(reverse(name, args=words), form)
        assert answer.headers["Location"].startswith("/profile/confirm/")

    made.refresh_from_db()
    assert (made.key, SshHost.objects.count(), SshKey.objects.count()) == ("", 1, 0)


def test_a_host_is_added_and_the_page_follows_until_a_worker_has_asked_it(
    browser: Client, folder: Folder, net: dict[str, PublicKey]
) -> None:
    net["db1.example.org"] = OLD
    page = post(browser, "ssh-hosts", "alice", name="DB1.example.org", port="22", expected="")
    made = SshHost.objects.get()
    assert 'hx-trigger="every 2s"' in page
    assert f"A worker asks {made}" in page
    assert "The host has not answered yet: nothing to compare." in page

    hosts.fetch(made.pk, entry.console)

    page = text(browser.get(reverse("ssh-host", args=["alice", made.pk])))
    assert "every 2s" not in page
    assert "has not answered yet" not in page
    assert OLD.fingerprint in page
    assert all(
        line in page for line in OLD.art.replace("&", "&amp;").replace(">", "&gt;").splitlines()
    )
    page = post(browser, "ssh-host", "alice", made.pk, do="approve", fingerprint=OLD.fingerprint)
    made.refresh_from_db()
    assert made.state == HostState.APPROVED
    assert "is approved" in page


def test_what_a_person_saw_is_what_they_approve(browser: Client, folder: Folder) -> None:
    made = host(folder, seen=str(NEW))

    page = post(browser, "ssh-host", "alice", made.pk, do="approve", fingerprint=OLD.fingerprint)

    made.refresh_from_db()
    assert made.key == ""
    assert "so nothing was approved" in page


def test_a_changed_key_is_an_alarm_on_both_pages(browser: Client, folder: Folder) -> None:
    made = host(folder, key=str(OLD), seen=str(NEW), state=HostState.CHANGED, problem="has changed")

    page = ""
    for name, words in (("ssh-hosts", ["alice"]), ("ssh-host", ["alice", made.pk])):
        page = text(browser.get(reverse(name, args=words)))
        assert 'role="alert"' in page
        assert "The host key of db1 has changed" in page
    assert OLD.fingerprint in page
    assert NEW.fingerprint in page
    page = post(browser, "ssh-host", "alice", made.pk, do="refuse")
    made.refresh_from_db()
    assert (made.state, made.key) == (HostState.APPROVED, str(OLD))


def test_a_pasted_fingerprint_that_differs_is_refused_loudly(
    browser: Client, folder: Folder
) -> None:
    made = host(folder, seen=str(NEW))

    page = post(browser, "ssh-host", "alice", made.pk, do="expect", expected=OLD.fingerprint)

    assert "THE WRONG KEY" in page
    made.refresh_from_db()
    assert made.state == HostState.REFUSED


@pytest.mark.parametrize("agrees", [True, False])
def test_what_the_console_shows_is_beside_the_key(
    agrees: bool, browser: Client, folder: Folder
) -> None:
    shown = [OLD.fingerprint if agrees else NEW.fingerprint]
    made = host(folder, seen=str(OLD), instance_id="i-1", console=shown)

    page = text(browser.get(reverse("ssh-host", args=["alice", made.pk])))

    assert ("shows the same fingerprint" in page) is agrees
    assert ("shows OTHER ones" in page) is not agrees


def test_only_names_of_the_owners_own_policies_can_be_tied(browser: Client, folder: Folder) -> None:
    made = host(folder)
    factories.PolicyFactory.create(owner=folder.owner, name="shop")

    post(browser, "ssh-host", "alice", made.pk, do="tie", policies=["shop"], instance_id="")
    made.refresh_from_db()
    assert made.policies == ["shop"]
    page = post(browser, "ssh-host", "alice", made.pk, do="tie", policies=["other"], instance_id="")
    made.refresh_from_db()
    assert made.policies == ["shop"]
    assert "is not one of the available choices" in page


def test_foreign_texts_do_no_harm(
    browser: Client, folder: Folder, net: dict[str, PublicKey]
) -> None:
    made = host(folder, problem=EVIL, console_problem=EVIL, approved_by=EVIL, key=str(OLD))
    made.asked_at = clock.now()
    made.policies, made.instance_id, made.expected = [EVIL], EVIL, "SHA256:x"
    made.expected_by = EVIL
    made.save()

    for name, words in (("ssh-hosts", ["alice"]), ("ssh-host", ["alice", made.pk])):
        assert EVIL not in text(browser.get(reverse(name, args=words)))
    page = post(browser, "ssh-hosts", "alice", name=EVIL, port="22", expected=EVIL)
    assert EVIL not in page


def test_who_may_only_look_sees_no_button_and_a_stranger_nothing(
    alice: User, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol = factories.UserFactory.create(username="carol")
    made = host(folder, seen=str(OLD))
    browser = Client()
    browser.force_login(carol)
    logins.confirm(browser)
    pages = [
        reverse("ssh-keys", args=["alice"]),
        reverse("ssh-hosts", args=["alice"]),
        reverse("ssh-host", args=["alice", made.pk]),
    ]

    assert {browser.get(page).status_code for page in pages} == {404}
    monkeypatch.setattr(permissions, "visible", lambda rows, _: rows)
    monkeypatch.setattr(permissions, "may_see", lambda *_: True)
    for page in pages:
        shown = text(browser.get(page))
        main = shown[shown.index("<main") : shown.index("</main")]
        assert re.findall(r"<form[^>]*post", main) == []
        assert browser.post(page, {"do": "make"}).status_code == 404
