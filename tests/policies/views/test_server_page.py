"""The page of this server: what keeps it from deleting, and a superuser's word that it goes on alone."""

from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from n2wbackup import doctor
from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.models import Policy, Server
from policies.services.servers import alone, heart
from scripts_admin.models import AuditEntry, User
from tests.factories import PolicyFactory
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
    answer = sure.post("/server/", follow=True)
    assert "goes on alone" in answer.content.decode()
    assert alone.why_kept() == ""
    assert "Nothing is known that keeps" in answer.content.decode()
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


def test_what_aws_shows_is_on_the_page(boss: User) -> None:
    alone.refuse()
    Server.objects.filter(pk=home.server_id()).update(strangers={"1 us-east-1": "A stranger."})
    sure = logins.confirm(client_of(boss))
    assert "A stranger." in read(sure, "/server/").text
    assert "A stranger." in read(sure, "/").text
    sure.post("/server/")
    assert Server.objects.get(pk=home.server_id()).strangers == {}
    with pytest.raises(RefusedError):
        alone.confirm()
