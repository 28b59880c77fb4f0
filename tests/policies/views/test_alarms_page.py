"""The alarms' pages: receivers and their test, quiet hours, mutes, and what became of each message."""

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.alarms.messages import AlarmKind
from policies.models import Alarm, AlarmDelivery, AlarmMute, AlarmReceivers, Policy
from policies.services.alarms import muting, receivers
from policies.views.alarms import ON_A_PAGE
from scripts_admin.models import AuditEntry, User
from tests import factories
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook
from tests.policies.fixtures import courier  # noqa: F401 - a fixture: letters go without a process
from tests.policies.services.posting import tell

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("courier")]
EVIL = '"><svg onload=alert(1)>'
SECRET = "t0psecret"


@pytest.fixture
def policy() -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="shop")


@pytest.fixture
def hook(settings: Settings) -> Iterator[Webhook]:
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]
    with ground.webhook() as served:
        yield served


def client(user: User) -> Client:
    made = Client()
    made.force_login(user)
    return made


def page(user: User, address: str = "/alarms/") -> str:
    answer = client(user).get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def boss() -> User:
    return factories.UserFactory.create(username="boss", is_superuser=True)


def alarm(policy: Policy | None, **columns: Any) -> Alarm:
    said = {"kind": AlarmKind.FAILED, "label": "alice/shop", "title": "alice/shop: backup failed"}
    times = {"created_at": clock.now(), "not_before": clock.now(), "spread_at": clock.now()}
    owner = policy.owner if policy else None
    return Alarm.objects.create(**{**said, **times, "policy": policy, "owner": owner, **columns})


def delivery(found: Alarm, **columns: Any) -> AlarmDelivery:
    said = {"shown": "json://127…0.1", "next_at": clock.now()}
    return AlarmDelivery.objects.create(alarm=found, **{**said, **columns})


def test_receivers_are_entered_and_never_shown(policy: Policy) -> None:
    alice = policy.owner

    answer = client(alice).post(
        "/alarms/receivers/alice/",
        {
            "do": "save",
            "new_urls": f"json://user:{SECRET}@example.com/{SECRET}",
            "quiet_times": "mon tue 22:00-06:00\nsat sun 00:00-24:00",
            "quiet_timezone": "Europe/Berlin",
        },
    )

    assert answer.status_code == 302
    found = AlarmReceivers.objects.get(user=alice)
    assert SECRET in found.urls
    assert found.quiet_times == ["mon tue 22:00-06:00", "sat sun 00:00-24:00"]
    for address in ("/alarms/", "/alarms/receivers/alice/"):
        assert SECRET not in page(alice, address)
    (entry,) = AuditEntry.objects.filter(kind="alarm receivers")
    assert SECRET not in str(entry.changes)
    assert {change[0] for change in entry.changes} == {"urls", "quiet hours", "time zone"}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"new_urls": "file:///etc/passwd"}, "Nothing was saved."),
        ({}, "Enter at least one URL."),
        ({"new_urls": "json://example.com", "quiet_times": "00:00-24:00"}, "fill the whole week"),
        ({"new_urls": "json://example.com", "quiet_times": EVIL}, "is not a disabled time"),
        ({"new_urls": "json://example.com", "quiet_timezone": "Mars"}, "is not a time zone"),
        ({"new_urls": f"json://user:{SECRET}@", "quiet_timezone": "UTC"}, "Nothing was saved."),
    ],
)
def test_what_cannot_be_is_told_at_its_field(
    policy: Policy, said: dict[str, str], sentence: str
) -> None:
    answer = client(policy.owner).post(
        "/alarms/receivers/alice/", {"do": "save", "quiet_timezone": "UTC", **said}
    )

    assert answer.status_code == 200
    text = answer.content.decode()
    assert sentence in text
    assert "<svg onload" not in text
    assert not AlarmReceivers.objects.exists()


def test_a_stranger_finds_nothing(policy: Policy) -> None:
    tell("json://example.com", user=policy.owner)
    before = list(AlarmReceivers.objects.values())
    stranger = client(factories.charlie())

    for address in (
        "/alarms/receivers/alice/",
        "/alarms/receivers/alice/shop/",
        "/alarms/mute/alice/shop/",
        "/alarms/receivers/nobody/",
    ):
        assert stranger.get(address).status_code == 404
        for does in ("save", "test", "delete", "mute", "end"):
            said = {"do": does, "name": "alice", "hours": "4", "reason": "x", "new_urls": "none"}
            assert stranger.post(address, said).status_code == 404
    assert list(AlarmReceivers.objects.values()) == before
    assert not AlarmMute.objects.exists()


def test_the_test_button_tells_what_became_of_each(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/one", user=policy.owner)
    visitor = client(policy.owner)

    answer = visitor.post("/alarms/receivers/alice/", {"do": "test"}, follow=True)
    assert "the test message was accepted" in answer.content.decode()
    assert hook.titles == ["alice: test message"]

    hook.status = 500
    answer = visitor.post("/alarms/receivers/alice/", {"do": "test"}, follow=True)
    assert "the test message was accepted" not in answer.content.decode()


def test_receivers_are_deleted_by_typing_their_name(policy: Policy) -> None:
    tell("json://example.com", policy=policy)
    visitor, address = client(policy.owner), "/alarms/receivers/alice/shop/"

    visitor.post(address, {"do": "delete", "name": "shop"})
    assert AlarmReceivers.objects.exists()
    visitor.post(address, {"do": "delete", "name": "alice/shop"})

    assert not AlarmReceivers.objects.exists()
    assert AuditEntry.objects.filter(action="deleted", label="alice/shop").count() == 1


def test_a_mute_is_told_on_the_policys_page_and_ended_there(policy: Policy) -> None:
    visitor = client(policy.owner)

    visitor.post("/alarms/mute/alice/shop/", {"do": "mute", "hours": "4", "reason": EVIL})

    for address in ("/policies/alice/shop/", "/alarms/", "/alarms/mute/alice/shop/"):
        text = page(policy.owner, address)
        assert "larms are muted" in text
        assert "<svg onload" not in text
    visitor.post("/alarms/mute/alice/shop/", {"do": "end"})
    assert "larms are muted" not in page(policy.owner, "/policies/alice/shop/")


def test_a_mute_needs_a_reason_and_a_span_of_the_list(policy: Policy) -> None:
    for said in ({"hours": "4", "reason": " "}, {"hours": "9999", "reason": "x"}, {}):
        answer = client(policy.owner).post("/alarms/mute/alice/shop/", {"do": "mute", **said})
        assert answer.status_code == 200
    assert not AlarmMute.objects.exists()


def test_the_list_shows_what_became_of_each_message(policy: Policy) -> None:
    found = tell("json://example.com", user=policy.owner)
    first = alarm(policy)
    delivery(first, receivers=found, state="sent", ended_at=clock.now())
    delivery(first, receivers=found, state="given_up", reason=EVIL, ended_at=clock.now())
    held = clock.now() + timedelta(hours=2)
    delivery(alarm(policy), receivers=found, held_until=held)
    muting.mute(policy, until=held, reason="x", by="alice")
    alarm(policy, spread_at=None)

    text = page(policy.owner)

    assert "given up" in text
    assert "quiet hours" in text
    assert "muted" in text
    assert "<svg onload" not in text


def test_where_a_superuser_is_told_is_not_the_owners_business(policy: Policy) -> None:
    chief = boss()
    theirs = tell("json://example.com", user=chief)
    found = alarm(policy, kind=AlarmKind.MAY_BE_FROZEN)
    delivery(found, receivers=theirs, shown="json://boss…org")

    assert "json://boss…org" not in page(policy.owner)
    assert "json://boss…org" in page(chief)
    assert "backup failed" not in page(factories.charlie())


def test_pings_are_shown_where_they_are_asked_for(policy: Policy) -> None:
    alarm(policy, kind=AlarmKind.PING_START, title="")

    assert "ping start" not in page(policy.owner).split("</form>")[-1]
    assert "ping start" in page(policy.owner, "/alarms/?pings=on").split("</form>")[-1]


@pytest.mark.parametrize(
    ("said", "is_found"),
    [
        ("kind=failed", True),
        ("kind=partial", False),
        ("policy=alice/shop", True),
        ("policy=alice/other", False),
        ("kind=nonsense", False),
        ("after=x", True),
        ("before=99999999999999999999", True),
    ],
)
def test_the_address_narrows_the_list(policy: Policy, said: str, *, is_found: bool) -> None:
    alarm(policy)

    assert ("alice/shop: backup failed" in page(policy.owner, f"/alarms/?{said}")) == is_found


def test_the_list_is_walked_and_asks_few_questions(policy: Policy) -> None:
    visitor = client(policy.owner)
    for number in range(ON_A_PAGE + 1):
        delivery(alarm(policy, title=f"number {number}."))
    visitor.get("/alarms/")

    with CaptureQueriesContext(connection) as queries:
        first = visitor.get("/alarms/").content.decode()

    assert len(queries) < 15
    assert "number 0." not in first
    assert "number 50." in first
    after = first.split("?after=")[1].split('"')[0]
    assert "number 0." in visitor.get(f"/alarms/?after={after}").content.decode()


def test_an_empty_page_says_what_to_do() -> None:
    text = page(factories.charlie())

    assert "Nobody is told when a backup fails." in text
    assert "/alarms/receivers/charlie/" in text


def test_an_unreadable_zone_keeps_nobody_quiet(policy: Policy) -> None:
    found = tell("json://example.com", user=policy.owner)
    AlarmReceivers.objects.update(quiet_times=["22:00-06:00"], quiet_timezone="Gone/Away")

    found.refresh_from_db()

    assert receivers.quiet_hours(found) is None
