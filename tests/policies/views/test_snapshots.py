"""The list of snapshots: what it shows, to whom, narrowed by its address, page after page."""

from datetime import timedelta

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.forms.snapshots import SnapshotFilter
from policies.models import Description, Policy, Run, RunSnapshot, RunTarget
from policies.selectors import snapshots
from policies.views import snapshots as view
from tests import factories
from tests.policies.views import page

pytestmark = pytest.mark.django_db

SVG = '"><svg onload=alert(1)>'
QUERIES = 8  # session, person, what is shared, keys, snapshots, what goes, copies, banner


def made(policy: Policy, number: int, days: float = 0, state: str = "completed") -> RunSnapshot:
    """Give a snapshot of a run of its own."""
    at = clock.now() - timedelta(days=days)
    run = factories.RunFactory.create(
        policy=policy, created_at=at, ended_at=at, state=State.SUCCEEDED
    )
    target = factories.RunTargetFactory.create(run=run, instance_id=f"i-{number}")
    return factories.RunSnapshotFactory.create(
        target=target, snapshot_id=f"snap-{number}", volume_id=f"vol-{number}", state=state, created_at=at
    )  # fmt: skip


@pytest.fixture
def policy() -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="nightly")


def seen(query: str = "") -> page.Page:
    return page.read(page.client_of(factories.alice()), f"/snapshots/{query}")


def shown(query: str = "") -> list[str]:
    words = seen(query).text.split()
    return list(dict.fromkeys(word for word in words if word.startswith("snap-")))


def test_a_snapshot_is_shown_with_all_that_is_known_of_it(policy: Policy) -> None:
    snapshot = made(policy, 1, state="pending")
    RunSnapshot.objects.update(progress=42, message="AWS is busy.")
    description = Description.objects.create(
        digest="0" * 64,
        resource_id="i-1",
        document={
            "instance": {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeId": "vol-1"}}]},
            "volumes": {"vol-1": {"Size": 8}},
        },
        last_seen_at=clock.now(),
    )  # fmt: skip
    RunTarget.objects.update(description=description)

    found = seen()

    for words in (
        "snap-1", "pending", "42", "AWS is busy.", "vol-1", "/dev/sdf", "8 GiB", "i-1", "us-east-1",
        "alice/nightly",
    ):  # fmt: skip
        assert words in found.text, words
    assert f"/runs/{snapshot.target.run_id}/" in found.links
    page.check_can_be_read_aloud(found)


def test_the_address_narrows_the_list(policy: Policy) -> None:
    other = factories.PolicyFactory.create(owner=factories.alice(), name="weekly")
    made(policy, 1)
    made(policy, 2, days=9, state="error")
    made(other, 3, days=2)

    assert shown() == ["snap-1", "snap-3", "snap-2"]
    assert shown("?state=error") == ["snap-2"]
    assert shown("?state=completed&policy=alice/nightly") == ["snap-1"]
    assert shown("?policy=alice/weekly") == ["snap-3"]
    assert shown("?snapshot=snap-2") == ["snap-2"]
    assert shown("?volume=vol-3") == ["snap-3"]
    assert shown("?instance=i-1") == ["snap-1"]
    day = (clock.now() - timedelta(days=5)).date()
    assert shown(f"?until={day}") == ["snap-2"]
    assert shown(f"?since={day}") == ["snap-1", "snap-3"]


def test_every_field_has_a_name(policy: Policy) -> None:
    assert "invalid name" not in seen().text


def test_what_names_nothing_is_a_mistake_with_a_sentence(policy: Policy) -> None:
    made(policy, 1)

    assert "There is no policy 'alice/other'" in seen("?policy=alice/other").text
    assert "No snapshot is like that." in seen("?state=nonsense").text
    assert "No snapshot is like that." in seen("?since=yesterday").text
    assert shown("?after=nonsense") == ["snap-1"]


def test_pages_follow_each_other_and_keep_what_was_asked(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "ON_A_PAGE", 2)
    for number in range(5):
        made(policy, number, days=number)
    found, query = list[str](), "?state=completed"
    for _ in range(3):
        here = seen(query)
        found += shown(query)
        ahead = [link for link in here.links if link and "after=" in link]
        query = ahead[0] if ahead else ""

    assert found == [f"snap-{number}" for number in range(5)]
    assert query == ""


def test_without_snapshots_it_says_how_they_are_made(policy: Policy) -> None:
    assert "run_policy OWNER/NAME" in seen().text


def test_a_stranger_sees_none_of_them(policy: Policy) -> None:
    made(policy, 1)
    stranger = page.client_of(factories.charlie())

    for query in ("", "?policy=alice/nightly", "?snapshot=snap-1"):
        assert "snap-1 " not in page.read(stranger, f"/snapshots/{query}").text
    assert "There is no policy" in page.read(stranger, "/snapshots/?policy=alice/nightly").text


def test_every_free_text_is_text(policy: Policy) -> None:
    made(policy, 1)
    Run.objects.update(policy_name=SVG, owner_name=SVG)
    RunSnapshot.objects.update(message=SVG, volume_id=SVG)
    RunTarget.objects.update(instance_id=SVG, region=SVG)

    for query in ("", f"?policy={SVG}", f"?volume={SVG}"):
        found = seen(query)
        assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
        assert SVG in found.text


def test_many_snapshots_cost_as_many_queries_as_one(
    policy: Policy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = page.client_of(factories.alice())
    client.get("/snapshots/")
    for number in range(7):
        made(policy, number)

    with django_assert_num_queries(QUERIES):
        client.get("/snapshots/")


@pytest.mark.parametrize(
    "query",
    ["", "state=error", "state=pending", "snapshot=snap-1", "volume=vol-1", "instance=i-1", "policy=alice/nightly"],
)  # fmt: skip
def test_the_list_is_found_by_an_index(policy: Policy, query: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("with so few rows PostgreSQL reads them all")
    made(policy, 1)
    person = factories.alice()
    request = type("Asked", (), {"user": person})()
    asked = SnapshotFilter(
        dict(part.split("=") for part in query.split("&") if part),
        snapshots.listed(person),
        request=request,
    )

    plan = asked.found().order_by(*snapshots.NEWEST)[:50].explain()

    assert "SCAN" not in plan, plan
