"""Sizes are counted within a budget, bills are made of them, and pages and the command say what they are worth."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.adapters import session
from policies.domain.errors import NotPermittedError
from policies.models import Copy, Policy, PolicyCost, Run, RunSnapshot, SnapshotSize
from policies.ports.blocks import BlockList
from policies.services.costs import billing, measuring
from tests import factories
from tests.policies.services.retention.rows import nightly
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
GIB = 2_048


class Counted:
    """Blocks of snapshots: each has 4 GiB, and 1 GiB of it changed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.denied = False

    def listed(self, region: str, snapshot_id: str, start: int = 0, page: int = 0) -> BlockList:
        self.asked.append(snapshot_id)
        if self.denied:
            raise NotPermittedError("Listing is denied: allow ebs:ListSnapshotBlocks.")
        return BlockList(8, 524_288, iter([(n, "") for n in range(4 * GIB)]))

    def changed(self, region: str, first: str, second: str) -> Iterator[int]:
        return iter(range(GIB))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    made = Counted()
    monkeypatch.setattr(session, "blocks", lambda _credentials: made)
    return made


@pytest.fixture
def policy() -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="policy1", keep_last=4)


@pytest.fixture
def points(policy: Policy) -> list[Run]:
    made = nightly(policy, 4)
    for run in made:
        RunSnapshot.objects.filter(target__run=run).update(created_at=run.created_at)
    return made


def test_each_snapshot_is_counted_once(counted: Counted, points: list[Run]) -> None:
    assert measuring.measure(100) == 4
    assert measuring.measure(100) == 0
    oldest = SnapshotSize.objects.get(snapshot__target__run=points[-1])
    newest = SnapshotSize.objects.get(snapshot__target__run=points[0])
    assert (oldest.blocks, oldest.changed) == (4 * GIB, 4 * GIB)
    assert (newest.blocks, newest.changed) == (4 * GIB, GIB)


def test_the_budget_ends_a_night_and_the_next_one_goes_on(
    counted: Counted, points: list[Run]
) -> None:
    assert measuring.measure(0) == 0
    assert counted.asked == []
    assert measuring.measure(3) == 2
    assert measuring.measure(100) == 2


def test_what_cannot_be_counted_is_told_and_tried_again_some_days_later(
    counted: Counted, points: list[Run], policy: Policy
) -> None:
    counted.denied = True
    measuring.measure(100)
    assert len(counted.asked) == 1  # the account's others would be denied, too
    assert "ListSnapshotBlocks" in SnapshotSize.objects.get().problem
    assert billing.of_policy(policy).points.unmeasured == 4
    counted.denied = False
    SnapshotSize.objects.update(measured_at=clock.now() - timedelta(days=4))
    assert measuring.measure(100) == 4


def test_a_bill_has_points_and_copies_and_a_trend(
    counted: Counted, points: list[Run], policy: Policy
) -> None:
    measuring.tick()
    source = points[0].targets.get().snapshots.get()
    Copy.objects.create(
        run=points[0],
        source=source,
        account=policy.account,
        region="eu-central-1",
        state="completed",
        snapshot_id="snap-c",
        created_at=clock.now(),
    )
    found = billing.of_policy(policy)
    assert (found.points.gib, found.copies.gib) == (7.0, 4.0)
    assert found.points.month == pytest.approx(0.35)
    measuring.enter()
    measuring.enter()
    (today,) = PolicyCost.objects.all()
    assert today.gib == 11.0
    assert list(billing.trend(policy).values()) == [pytest.approx(today.month)]


def test_other_rules_cost_less_and_nothing_is_saved(
    counted: Counted, points: list[Run], policy: Policy
) -> None:
    measuring.tick()
    found = billing.what_if(policy, {"keep_last": 2})
    assert (found.kept, found.gone, found.then.gib) == (2, 2, 5.0)
    assert found.saved == pytest.approx(0.1)
    policy.refresh_from_db()
    assert policy.keep_last == 4


def test_the_pages_say_that_these_are_estimates(
    counted: Counted, points: list[Run], policy: Policy
) -> None:
    measuring.tick()
    Policy.objects.update(enabled=False)
    client = page.client_of(policy.owner)
    own = " ".join(page.read(client, "/policies/alice/policy1/costs/").text.split())
    assert "These are estimates" in own
    assert "about USD 0.35" in own
    assert "disabled and keeps everything" in own
    other = page.read(client, "/policies/alice/policy1/costs/?keep_last=2").text
    assert "2 restore points are kept and 2 go" in " ".join(other.split())
    every = " ".join(page.read(client, "/costs/").text.split())
    assert "0.35 is for restore points of disabled policies" in every
    wrong = client.get("/policies/alice/policy1/costs/?keep_last=-4")
    assert wrong.status_code == 200


def test_the_dearest_come_first_and_the_sum_is_of_all(
    points: list[Run], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policies.views.costs.ON_A_PAGE", 2)
    today = clock.now().date()
    old, yesterday = today - timedelta(days=30), today - timedelta(days=1)
    for name, day, month in (
        ("a-cheap", today, 1.0),
        ("a-long-ago", old, 900.0),
        ("dear", yesterday, 3.0),
        ("dearer", today, 5.5),
    ):
        made = factories.PolicyFactory.create(
            owner=policy.owner, name=name, enabled=name != "dearer"
        )
        PolicyCost.objects.create(policy=made, day=old, gib=1, month=800.0)
        PolicyCost.objects.update_or_create(
            policy=made, day=day, defaults={"gib": 1, "month": month}
        )
    stranger = factories.PolicyFactory.create(owner=factories.charlie(), name="theirs")
    PolicyCost.objects.create(policy=stranger, day=today, gib=1, month=100.0)

    client = page.client_of(policy.owner)
    texts = [page.read(client, f"/costs/?page={number}").text for number in (1, 2, 3)]
    names = [re.findall(r"alice/([a-z0-9-]+)", text) for text in texts]
    assert names == [["dearer", "dear"], ["a-cheap", "a-long-ago"], ["policy1"]]
    assert all("USD 9.50 a month" in " ".join(text.split()) for text in texts)
    assert "5.50 is for restore points of disabled policies" in " ".join(texts[0].split())
    assert "not estimated yet" in texts[1]


def test_what_nobody_has_counted_does_not_cost_nothing(policy: Policy) -> None:
    shown = page.read(page.client_of(policy.owner), "/policies/alice/policy1/costs/").text
    assert "about USD" not in shown
    assert "not estimated yet" in shown


def test_a_stranger_sees_no_costs(points: list[Run], policy: Policy) -> None:
    measuring.enter()
    stranger: Client = page.client_of(factories.charlie())
    assert stranger.get("/policies/alice/policy1/costs/").status_code == 404
    assert "policy1" not in stranger.get("/costs/").content.decode()


def test_a_wrong_price_table_breaks_no_page(
    points: list[Run], policy: Policy, settings: Settings, tmp_path: Path
) -> None:
    table = tmp_path / "prices.json"
    settings.N2W_PRICES = str(table)
    client = page.client_of(policy.owner)
    for text in (None, "{", '{"as_of": "<script>", "snapshot_gib_month": {"default": 1}}'):
        if text is not None:
            table.write_text(text)
        shown = client.get("/policies/alice/policy1/costs/").content.decode()
        assert "price table" in shown
        assert "<script>" not in shown
    table.write_text(
        '{"as_of": "2026-03-01", "source": "ours", "snapshot_gib_month": {"default": 2}}'
    )
    assert billing.prices().default == 2.0


def test_the_command_prints_it_and_other_rules(
    counted: Counted, points: list[Run], policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring.tick()
    call_command("costs")
    assert "alice/policy1: USD 0.35 a month, 7.0 GiB" in capsys.readouterr().out
    call_command("costs", "alice/policy1", "--keep-last", "2", "--json")
    (row,) = json.loads(capsys.readouterr().out)["policies"]
    assert row["what_if"] == {"keep_last": 2, "month": 0.25, "kept": 2, "gone": 2}
    with pytest.raises(CommandError, match="There is no policy"):
        call_command("costs", "alice/nope")
    for words in (["--keep-last", "-1"], ["--keep-yearly", "101"]):
        with pytest.raises(CommandError, match="is a number from 0 to"):
            call_command("costs", "alice/policy1", *words)
