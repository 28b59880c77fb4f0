"""Heartbeats: who is alive, who is gone, and who only could not look."""

import pytest
from pytest_django import Settings

from n2wbackup import VERSION
from n2wbackup.lib import clock, home
from policies.domain.runs.sequence import State
from policies.models import Server
from policies.services.servers import heart
from tests import factories
from tests.policies.services.backup import Backup
from tests.policies.services.elsewhere import Elsewhere

LIMIT = 60.0
pytestmark = pytest.mark.usefixtures("db")


class Clock:
    """The time since this machine's start, as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def since_boot(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Clock:
    settings.N2W_SERVER_GONE_SECONDS = LIMIT
    made = Clock()
    monkeypatch.setattr(clock, "boottime", made)
    return made


def look_for(others: heart.Others, since_boot: Clock, seconds: float) -> list[Server]:
    """Look every five seconds for so long."""
    found = []
    for _ in range(round(seconds / 5)):
        since_boot.now += 5
        found += others.look()
    return found


def test_a_server_is_entered_with_what_others_must_know_of_it(backup: Backup) -> None:
    heart.beat()
    heart.beat()

    server = Server.objects.get()
    assert server.pk == home.server_id()
    assert (server.host, server.version) == (heart.host(), VERSION)
    assert len(server.keys) == 1
    assert "N2W" not in str(server.keys)
    assert server.first_seen_at < server.heartbeat_at


def test_a_server_whose_heartbeat_stops_is_gone_once(
    elsewhere: Elsewhere, since_boot: Clock
) -> None:
    with elsewhere.here():
        heart.beat()
    others = heart.Others()

    assert look_for(others, since_boot, LIMIT) == []
    gone = look_for(others, since_boot, LIMIT)

    assert [server.pk for server in gone] == [elsewhere.server]
    assert Server.objects.get(pk=elsewhere.server).gone_at is not None


def test_a_server_that_beats_is_not_gone_whatever_its_clock_says(
    elsewhere: Elsewhere, since_boot: Clock
) -> None:
    others = heart.Others()
    for _ in range(5):
        with elsewhere.here():
            heart.beat()
        Server.objects.filter(pk=elsewhere.server).update(
            heartbeat_at=clock.now().replace(year=2020)
        )
        assert look_for(others, since_boot, LIMIT / 2) == []


def test_who_could_not_look_itself_takes_nobody_for_gone(
    elsewhere: Elsewhere, since_boot: Clock
) -> None:
    with elsewhere.here():
        heart.beat()
    others = heart.Others()
    assert look_for(others, since_boot, LIMIT / 2) == []

    since_boot.now += 10 * LIMIT  # the database was away for all of them
    assert others.look() == []
    assert look_for(others, since_boot, LIMIT - 5) == []


def test_nobody_takes_itself_for_gone(since_boot: Clock) -> None:
    heart.beat()

    assert look_for(heart.Others(), since_boot, 3 * LIMIT) == []


def test_a_server_that_comes_back_is_alive_and_what_was_told_of_it_is_told_again_next_time(
    backup: Backup, elsewhere: Elsewhere
) -> None:
    run = factories.RunFactory.create(
        policy=backup.policy,
        state=State.FROZEN,
        server=elsewhere.server,
        server_gone_at=clock.now(),
    )
    with elsewhere.here():
        assert not heart.beat()
        Server.objects.update(gone_at=clock.now())
        assert heart.beat()

    run.refresh_from_db()
    assert (Server.objects.get().gone_at, run.server_gone_at) == (None, None)


def test_a_server_that_stops_in_order_says_so_until_it_starts_again() -> None:
    heart.beat()
    heart.stop()
    assert Server.objects.get().stopped_at is not None

    heart.beat()
    assert Server.objects.get().stopped_at is None
