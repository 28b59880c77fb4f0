"""A copy of the database beside the living server deletes no snapshot; whoever is moved or alone says so once."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock, home, whereabouts
from policies.domain.errors import RefusedError
from policies.models import Server
from policies.services.servers import alone, heart
from scripts_admin.models import AuditEntry
from tests.policies.services.elsewhere import Elsewhere

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Give the seconds that have passed; each test watches anew."""
    passed = [0.0]
    boottime = clock.boottime
    monkeypatch.setattr(clock, "boottime", lambda: boottime() + passed[0])
    alone.forget()
    yield passed
    alone.forget()


def refused() -> str:
    with pytest.raises(RefusedError) as caught:
        alone.refuse()
    return str(caught.value)


def mine() -> Server:
    return Server.objects.get(pk=home.server_id())


def test_the_only_server_of_a_database_may_delete() -> None:
    assert alone.why_kept() == ""
    assert mine().confirmed_at
    assert mine().place == whereabouts.signs()


def test_a_new_home_on_the_copied_rows_of_another_keeps_all(
    elsewhere: Elsewhere, later: list[float]
) -> None:
    with elsewhere.here():
        assert alone.why_kept() == ""
        heart.beat()  # from now on it goes on with the database that was copied

    assert "watches for a minute" in refused()
    later[0] += alone.WATCH_SECONDS + 1
    sentence = refused()
    assert elsewhere.server in sentence
    assert "may live on with another copy of the database" in sentence
    assert mine().doubt == sentence
    assert mine().confirmed_at is None

    alone.confirm()
    assert alone.why_kept() == ""
    (entry,) = AuditEntry.objects.all()
    assert entry.action == "said that it goes on alone"


def test_one_that_joins_a_living_server_may_delete(
    elsewhere: Elsewhere, later: list[float]
) -> None:
    with elsewhere.here():
        assert alone.why_kept() == ""
        heart.beat()
    assert "watches" in refused()

    with elsewhere.here():
        heart.beat()  # on this very database
    later[0] += 60
    assert alone.why_kept() == ""
    later[0] += 3600  # the other one dies: this one has been known for long
    assert alone.why_kept() == ""


def test_a_living_one_that_is_in_doubt_vouches_for_nobody(
    elsewhere: Elsewhere, later: list[float]
) -> None:
    with elsewhere.here():
        heart.beat()
        Server.objects.update(doubt="It was copied.", confirmed_at=clock.now())
    refused()
    with elsewhere.here():
        heart.beat()
    later[0] += alone.WATCH_SECONDS + 1
    assert elsewhere.server in refused()


def test_two_that_begin_together_believe_each_other(
    elsewhere: Elsewhere, later: list[float]
) -> None:
    with elsewhere.here():
        heart.beat()
    heart.beat()
    assert "watches" in refused()
    later[0] += alone.WATCH_SECONDS + 1
    assert elsewhere.server in refused()
    with elsewhere.here():
        heart.beat()
    assert alone.why_kept() == ""

    heart.beat()
    with elsewhere.here():
        alone.forget()
        assert "watches" in refused()
        Server.objects.exclude(pk=elsewhere.server).update(heartbeat_at=clock.now())
        assert alone.why_kept() == ""


@pytest.mark.parametrize("columns", [{"confirmed_at": clock.now()}, {}])
def test_two_new_ones_on_the_copied_rows_of_a_third_keep_all(
    elsewhere: Elsewhere, later: list[float], columns: dict[str, datetime]
) -> None:
    now = clock.now()
    Server.objects.create(
        id="copied", host="old", version="1", first_seen_at=now, heartbeat_at=now, **columns
    )
    with elsewhere.here():
        heart.beat()
    refused()
    with elsewhere.here():
        heart.beat()
    later[0] += alone.WATCH_SECONDS + 1
    assert "has worked on" in refused()
    Server.objects.filter(pk="copied").update(removed_at=now)
    assert alone.why_kept() == ""


def test_one_that_was_removed_is_nobody(elsewhere: Elsewhere, later: list[float]) -> None:
    with elsewhere.here():
        assert alone.why_kept() == ""
    assert "watches" in refused()
    Server.objects.filter(pk=elsewhere.server).update(removed_at=clock.now())
    assert alone.why_kept() == ""


def test_a_copied_home_with_its_rows_keeps_all(tmp_path: Path, settings: Settings) -> None:
    assert alone.why_kept() == ""
    copied = tmp_path.with_name(f"{tmp_path.name}-copy")
    copied.mkdir()
    shutil.copy2(tmp_path / "server-id", copied)

    settings.N2W_HOME = copied
    assert mine().doubt == ""  # the same id, and so the same row
    sentence = refused()
    assert "was copied or is on another machine" in sentence

    settings.N2W_HOME = tmp_path  # it was only looked at from there
    assert alone.why_kept() == ""
    settings.N2W_HOME = copied
    alone.confirm()
    assert alone.why_kept() == ""


@pytest.mark.parametrize("sign", ["machine", "instance"])
def test_a_volume_on_another_machine_keeps_all(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signs = {"home": "1", "machine": "a", "instance": "i"}
    monkeypatch.setattr(whereabouts, "signs", lambda: signs)
    assert alone.why_kept() == ""
    signs[sign] = "other"
    assert "was copied or is on another machine" in refused()
    alone.confirm()
    assert alone.why_kept() == ""


def test_a_sign_that_a_process_cannot_read_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = {"home": "1", "machine": "a"}
    monkeypatch.setattr(whereabouts, "signs", lambda: signs)
    assert alone.why_kept() == ""
    del signs["machine"]
    assert alone.why_kept() == ""
    signs["machine"] = "b"  # it has not been forgotten
    assert refused()


def test_in_a_container_the_machine_is_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    home.server_id()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert set(whereabouts.signs()) == {"home"}


def test_rows_from_before_know_only_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    heart.enter()
    Server.objects.update(confirmed_at=clock.now(), place={"host": "web1"})
    monkeypatch.setattr(heart, "host", lambda: "web2")
    assert refused()
    monkeypatch.setattr(heart, "host", lambda: "web1")
    assert alone.why_kept() == ""
    assert mine().place == whereabouts.signs()
    monkeypatch.setattr(heart, "host", lambda: "another-container")
    assert alone.why_kept() == ""


def test_a_clock_that_was_ahead_makes_no_stranger_unseen() -> None:
    alone.refuse()
    Server.objects.update(confirmed_at=clock.now() + timedelta(days=400))
    alone.refuse()
    confirmed_at = mine().confirmed_at
    assert confirmed_at
    assert confirmed_at <= clock.now()


def test_nothing_is_confirmed_where_nothing_is_in_doubt() -> None:
    with pytest.raises(RefusedError, match="Nothing speaks against server"):
        alone.confirm()
    assert not AuditEntry.objects.exists()
