"""The auditor's report: what happened in a time, for whoever may see it, on a page and as CSV."""

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client

from n2wbackup.lib import clock
from policies.domain.runs.verdict import Consistency
from policies.models import Policy, Proof, Recovery
from policies.selectors import evidence
from policies.selectors.evidence import Asked, Row
from tests import factories
from tests.policies.services.retention.rows import nightly, point
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PAGE, CSV = "/recovery-report/", "/recovery-report/csv/"
FORMULA = '=HYPERLINK("http://evil.invalid")<svg onload=alert(1)>'
AT = datetime(2026, 3, 2, 4, tzinfo=UTC)


@pytest.fixture
def policy() -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    nightly(made, 3)
    return made


@pytest.fixture
def client(policy: Policy) -> Client:
    return page.client_of(policy.owner)


def lines(client: Client, path: str = CSV) -> list[list[str]]:
    answer = client.get(path)
    return list(csv.reader(io.StringIO(answer.getvalue().decode())))


def test_the_page_and_the_csv_have_the_same_lines(client: Client, policy: Policy) -> None:
    point(policy, clock.now(), Consistency.CRASH)
    shown = " ".join(page.read(client, PAGE).text.split())
    assert "4, of these 3 application-consistent" in shown
    assert "none was measured" in shown
    head, *rows = lines(client)
    assert head == list(evidence.COLUMNS)
    assert [row[1] for row in rows] == ["restore point"] * 4
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)


def test_a_time_and_a_policy_can_be_chosen(client: Client, policy: Policy) -> None:
    other = factories.PolicyFactory.create(owner=policy.owner, name="other")
    nightly(other, 2)
    assert len(lines(client)) == 6
    assert len(lines(client, f"{CSV}?policy=alice/other")) == 3
    assert len(lines(client, f"{CSV}?policy=other")) == 3
    yesterday = (clock.now() - timedelta(days=1, hours=1)).date()
    assert len(lines(client, f"{CSV}?since={yesterday}&until={yesterday}")) == 3


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("since=2026-05-02&until=2026-05-01", "before the first"),
        ("since=0001-01-01&until=2026-05-01", "ten years at most"),
        ("since=soon", "valid date"),
    ],
)
def test_what_cannot_be_asked_is_said_and_nothing_is_listed(
    client: Client, said: str, sentence: str
) -> None:
    assert sentence in page.read(client, f"{PAGE}?{said}").text
    assert len(lines(client, f"{CSV}?{said}")) == 1


def test_a_stranger_gets_an_empty_report(policy: Policy) -> None:
    stranger = page.client_of(factories.charlie())
    assert "policy1" not in stranger.get(PAGE).content.decode()
    assert len(lines(stranger)) == 1


def test_hostile_words_are_harmless_in_both(client: Client, policy: Policy) -> None:
    policy.runs.update(requested_by="=1+1", reason=FORMULA)
    assert "<svg onload" not in client.get(PAGE).content.decode()
    _, *rows = lines(client)
    assert {row[7] for row in rows} == {"'=1+1"}
    assert all(row[8].startswith("'=HYPERLINK") for row in rows)


def test_the_numbers_are_of_what_ended_well() -> None:
    proven = Row(AT, "proof", "alice/policy1", "snap-1", "3 of 3", "passed", 2.0, "bob", "", "")
    recovered = proven._replace(kind="recovery", level="volume", result="done", seconds=40.0)
    found = evidence.summary([proven, recovered, _failed(proven)])
    assert (found.proofs, found.passed, found.recoveries, found.recovered) == (2, 1, 1, 1)
    assert (found.median_seconds, found.longest_seconds) == (21.0, 40.0)


def _failed(row: Row) -> Row:
    return row._replace(result="failed", seconds=900.0)


def test_a_day_is_whole() -> None:
    begin, end = Asked(date(2026, 3, 1), date(2026, 3, 1)).span
    assert end - begin == timedelta(days=1)


def test_a_recovery_of_ones_own_is_a_line_and_a_strangers_is_not(
    client: Client, policy: Policy
) -> None:
    run = policy.runs.latest("created_at")
    now = clock.now()
    Recovery.objects.create(
        run=run,
        run_id_copied=run.pk,
        policy=policy,
        owner=policy.owner,
        account=policy.account,
        policy_name=policy.name,
        owner_name="alice",
        account_name="lab",
        region="us-east-1",
        kind="volume",
        subject="vol-1",
        requested_by="alice",
        state="done",
        asked_at=now - timedelta(seconds=90),
        made_at=now - timedelta(seconds=50),
        ended_at=now,
        next_at=now,
    )
    first = lines(client)[1]
    assert (first[1], first[3], first[5], first[6]) == (
        "recovery",
        "vol-1 in us-east-1",
        "done",
        "40.0",
    )
    shown = " ".join(page.read(client, PAGE).text.split())
    assert "1, of these 1 made what was asked for" in shown
    assert "40.0 s (median)" in shown or "40 s (median)" in shown
    assert len(lines(page.client_of(factories.charlie()))) == 1


def test_a_proof_is_a_line_with_the_level_that_it_reached(client: Client, policy: Policy) -> None:
    now = clock.now()
    Proof.objects.create(
        run=policy.runs.latest("created_at"),
        policy=policy,
        owner=policy.owner,
        snapshot_id="snap-1",
        region="us-east-1",
        level=3,
        reached=2,
        state="failed",
        reason="the mark is missing",
        seconds=7.5,
        asked_at=now + timedelta(seconds=1),
        next_at=now,
        ended_at=now,
    )
    first = lines(client)[1]
    assert (first[1], first[4], first[5], first[6]) == ("proof", "2 of 3", "failed", "7.5")
    assert first[8] == "the mark is missing"


def test_a_long_report_is_shown_in_part_and_printed_and_exported_whole(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policies.views.evidence.SHOWN", 2)
    answer = page.read(client, f"{PAGE}?policy=policy1")
    assert "Only the newest 2 lines" in " ".join(answer.text.split())
    assert "Show up to 2000, to print them" in " ".join(answer.text.split())
    printed = page.read(client, f"{PAGE}?policy=policy1&printed")
    assert "Only the newest" not in printed.text
    assert len(lines(client)) == 4
