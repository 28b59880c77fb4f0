"""`list_servers` and `remove_server`."""

import json
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from pytest_django import Settings

from n2wbackup.lib import clock, home
from policies.domain.runs.sequence import State
from policies.models import Server
from policies.services.servers import heart
from tests import factories
from tests.policies.services.backup import Backup
from tests.policies.services.elsewhere import Elsewhere

pytestmark = pytest.mark.usefixtures("db")


def said(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def listed() -> dict[str, Any]:
    return {row["id"]: row for row in json.loads(said("list_servers", "--json"))["servers"]}


def test_where_no_server_was_started_the_list_says_so() -> None:
    assert said("list_servers") == "No server has been started on this database yet.\n"


def test_each_server_is_listed_with_its_state_and_its_runs(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    heart.beat()
    with elsewhere.here():
        heart.beat()
    Server.objects.filter(pk=elsewhere.server).update(gone_at=clock.now(), host="web2")
    factories.RunFactory.create(policy=backup.policy, state=State.WAITING, server=elsewhere.server)

    found = listed()

    own, other = found[home.server_id()], found[elsewhere.server]
    assert (own["state"], own["is_here"], own["unfinished"]) == ("alive", True, 0)
    assert (other["state"], other["is_here"], other["unfinished"]) == ("gone", False, 1)
    assert "gone" in next(line for line in said("list_servers").splitlines() if "web2" in line)


def test_what_differs_between_two_servers_is_listed(
    elsewhere: Elsewhere, settings: Settings
) -> None:
    heart.beat()
    with elsewhere.here():
        heart.beat()
    Server.objects.filter(pk=elsewhere.server).update(version="0.1")
    settings.N2W_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    keys, version = listed()[elsewhere.server]["problems"]

    assert keys == "Its encryption keys differ: set N2W_ENCRYPTION_KEYS to the same on both."
    assert version.startswith("Its version differs from ")


def test_a_server_that_does_not_come_back_is_removed(elsewhere: Elsewhere) -> None:
    with elsewhere.here():
        heart.beat()
    Server.objects.update(gone_at=clock.now())

    assert said("remove_server", elsewhere.server).endswith(" is removed.\n")

    assert listed()[elsewhere.server]["state"] == "removed"
    with elsewhere.here():
        heart.beat()
    assert listed()[elsewhere.server]["state"] == "alive"


def test_a_server_that_is_alive_or_unknown_is_not_removed(elsewhere: Elsewhere) -> None:
    with elsewhere.here():
        heart.beat()

    with pytest.raises(CommandError, match=r"is alive: stop it first, with `manage\.py drain`"):
        said("remove_server", elsewhere.server)
    with pytest.raises(CommandError, match="There is no server 'web9': list them"):
        said("remove_server", "web9")

    assert Server.objects.get().removed_at is None
