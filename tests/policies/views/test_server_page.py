"""The page of this server: what keeps it from deleting, and a superuser's word that it goes on alone."""

import re
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from n2wbackup import doctor
from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.models import Policy, Server
from policies.services.servers import alone, heart
from scripts_admin.models import AuditEntry, User
from tests.factories import AccountFactory, PolicyFactory, UserFactory
from tests.policies.fixtures import elsewhere as elsewhere  # noqa: PLC0414 - a fixture
from tests.policies.fixtures import own_home as own_home  # noqa: PLC0414 - a fixture
from tests.policies.services.elsewhere import Elsewhere
from tests.policies.views import logins
from tests.policies.views.page import client_of, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def sentence(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let this server be new on the rows of another one; give what it says."""
    with elsewhere.here():
        heart.beat()
    alone.forget()
    assert alone.why_kept()
    boottime = clock.boottime
    monkeypatch.setattr(clock, "boottime", lambda: boottime() + alone.WATCH_SECONDS)
    yield alone.why_kept()
    alone.forget()


def test_everybody_reads_why_and_a_superuser_ends_it(
    boss: User, alice: User, sentence: str
) -> None:
    policy: Policy = PolicyFactory.create(owner=alice, name="policy1", keep_last=1)
    hers, sure = client_of(alice), logins.confirm(client_of(boss))
    for client in (hers, sure):
        shown = read(client, "/")
        assert sentence in " ".join(shown.text.split())
        assert ("/server/" in shown.links) == (client is sure)
    plan = read(hers, f"/policies/{policy.label}/retention/").text
    assert sentence in " ".join(plan.split())
    assert hers.get("/server/").status_code == 404
    assert sentence in " ".join(read(sure, "/server/").text.split())

    assert hers.post("/server/").status_code == 404
    assert alone.why_kept() == sentence
    answer = confirm(sure)
    assert "goes on alone" in answer
    assert alone.why_kept() == ""
    assert "Nothing is known that keeps" in answer
    (entry,) = AuditEntry.objects.filter(action="said that it goes on alone")
    assert entry.name == "boss"
    assert sentence not in " ".join(read(sure, "/").text.split())


def test_whoever_has_not_just_said_who_they_are_is_asked_first(boss: User, sentence: str) -> None:
    old: Client = client_of(boss)
    assert old.post("/server/").status_code == 302
    assert alone.why_kept() == sentence


def test_the_command_line_says_it_too(sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = [each for each in doctor.findings() if each.name == "deleting"]
    assert (line.ok, line.text) == (False, sentence)
    call_command("list_servers")
    assert sentence in capsys.readouterr().out

    call_command("confirm_server")
    assert "goes on alone" in capsys.readouterr().out
    alone.refuse()
    (line,) = [each for each in doctor.findings() if each.name == "deleting"]
    assert line.ok
    with pytest.raises(CommandError, match="Nothing speaks against"):
        call_command("confirm_server")


def confirm(client: Client) -> str:
    """Send the form of the page as it is now."""
    return send(client, form(client))


def form(client: Client) -> str:
    (shown,) = re.findall(r'name="shown" value="(\w+)"', client.get("/server/").content.decode())
    return str(shown)


def send(client: Client, shown: str) -> str:
    return client.post("/server/", {"shown": shown}, follow=True).content.decode()


def test_a_sign_that_nobody_saw_is_not_confirmed(boss: User) -> None:
    alone.refuse()
    row = Server.objects.filter(pk=home.server_id())
    row.update(strangers={"1 us-east-1": "A stranger."})
    sure = logins.confirm(client_of(boss))
    old = form(sure)
    found = {"1 us-east-1": "A stranger.", "2 us-east-1": "Another stranger."}
    row.update(strangers=found)
    for shown in (old, ""):
        said = send(sure, shown)
        assert "has changed: look at it again" in said
        assert "Another stranger." in said
        assert row.get().strangers == found
    assert not AuditEntry.objects.filter(action="said that it goes on alone").exists()
    confirm(sure)
    assert row.get().strangers == {}


def test_a_stranger_in_one_account_is_told_to_nobody_of_another(boss: User, alice: User) -> None:
    alone.refuse()
    hers: Policy = PolicyFactory.create(owner=alice, name="policy1", keep_last=1)
    his = AccountFactory.create(owner=UserFactory.create(username="bob"), name="secret")
    row = Server.objects.filter(pk=home.server_id())
    row.update(strangers={f"{his.pk} us-east-1": "AWS has snapshots in bob/secret."})
    client, path = client_of(alice), f"/policies/{hers.label}/retention/"
    for page in ("/", path):
        said = read(client, page).text
        assert "secret" not in said
        assert "deletes no snapshot" not in said
    assert "What goes is announced first" in read(client, path).text
    assert "deletes no snapshot in some accounts" in read(client_of(boss), "/").text

    row.update(strangers={f"{hers.account.pk} us-east-1": "AWS has snapshots in alice/a."})
    assert "AWS has snapshots in alice/a." in read(client, path).text


def test_the_page_says_what_will_pass_and_what_is_set(
    boss: User, elsewhere: Elsewhere, settings: Settings
) -> None:
    with elsewhere.here():
        heart.beat()
    alone.forget()
    sure = logins.confirm(client_of(boss))
    said = read(sure, "/server/").text
    assert "watches for a minute" in said
    assert "Nothing is known that keeps" not in said
    settings.N2W_KEEP_ALL_SNAPSHOTS = True
    said = read(sure, "/server/").text
    assert "N2W_KEEP_ALL_SNAPSHOTS is set" in said
    assert "Nothing is known that keeps" not in said
    alone.forget()


def test_what_aws_shows_is_on_the_page(boss: User) -> None:
    alone.refuse()
    Server.objects.filter(pk=home.server_id()).update(strangers={"1 us-east-1": "A stranger."})
    sure = logins.confirm(client_of(boss))
    assert "A stranger." in read(sure, "/server/").text
    assert "A stranger." in read(sure, "/").text
    confirm(sure)
    assert Server.objects.get(pk=home.server_id()).strangers == {}
    with pytest.raises(RefusedError):
        alone.confirm()
