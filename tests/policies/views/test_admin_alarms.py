"""Alarms in the admin: stored URLs are never shown, and nobody sees the receivers of a stranger."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from policies.domain.runs.sequence import Event, State
from policies.models import AlarmDelivery, AlarmReceivers, Policy
from policies.services import runs
from policies.services.alarms import delivering, receivers
from scripts_admin.models import User
from tests import factories
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook
from tests.policies.views.admin_forms import act, errors, url

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
ADD = "/admin/policies/alarmreceivers/add/"
TOKEN = "t0psecret-token"
URL = f"jsons://hooks.example.org/{TOKEN}"
PING = f"https://hc.example.org/{TOKEN}"


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with ground.webhook() as served:
        yield served


@pytest.fixture
def own(bob: User) -> Policy:
    names = ["view", "add", "change", "delete"]
    codes = [f"{name}_alarmreceivers" for name in names] + ["view_run", "view_policy"]
    bob.user_permissions.set(Permission.objects.filter(codename__in=codes))
    return factories.PolicyFactory.create(owner=bob, name="own")


def test_urls_go_in_and_never_come_out(client: Client, bob: User, own: Policy) -> None:
    client.post(
        ADD,
        {
            "policy": own.pk,
            "new_urls": f"{URL}\nslack://{'a' * 9}/{'b' * 9}/{'c' * 24}",
            "new_ping_url": PING,
        },
    )
    found = AlarmReceivers.objects.get()
    assert (found.policy, found.ping_url, found.has_ping) == (own, PING, True)

    for page in (url(found), "/admin/policies/alarmreceivers/"):
        text = client.get(page).content.decode()
        assert "jsons://ho…org, slack://…, ping https://hc…org" in text
        assert TOKEN not in text


def test_an_empty_field_keeps_and_none_takes_away(client: Client, bob: User, own: Policy) -> None:
    receivers.save(receivers.of(policy=own), {"urls": URL, "ping_url": PING})
    found = AlarmReceivers.objects.get()

    client.post(url(found), {"new_urls": "", "new_ping_url": "none"})

    kept = AlarmReceivers.objects.get()
    assert (kept.urls, kept.ping_url, kept.has_ping) == (URL, "", False)


def test_a_mistake_is_told_at_its_field_without_the_url(
    client: Client, bob: User, own: Policy
) -> None:
    bad = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}?template=/etc/passwd"

    response = client.post(ADD, {"policy": own.pk, "new_urls": bad, "new_ping_url": "x"})

    told = errors(response.content)
    assert "URL 1: slack:// does not allow template here: remove it." in told
    assert "A ping URL begins with https:// or http:// and names a host: correct it." in told
    assert not AlarmReceivers.objects.exists()


@pytest.mark.parametrize(
    ("whose", "sentence"),
    [
        ((), "Receivers belong to a user or to a policy: choose exactly one of the two."),
        (
            ("user", "policy"),
            "Receivers belong to a user or to a policy: choose exactly one of the two.",
        ),
        (("user",), "Only a policy can have a ping URL: choose a policy, not a user."),
    ],
)
def test_they_are_a_users_or_a_policys(
    client: Client, bob: User, own: Policy, whose: tuple[str, ...], sentence: str
) -> None:
    chosen = {"user": bob.pk, "policy": own.pk}
    form = {name: chosen[name] for name in whose} | {"new_urls": URL, "new_ping_url": PING}

    assert sentence in errors(client.post(ADD, form).content)

    assert not AlarmReceivers.objects.exists()


def test_a_stranger_is_no_choice_and_their_receivers_do_not_exist(
    client: Client, bob: User, own: Policy
) -> None:
    strange = factories.PolicyFactory.create(owner=factories.charlie(), name="strange")
    receivers.save(receivers.of(policy=strange), {"urls": URL})
    theirs = AlarmReceivers.objects.get()

    for form in ({"policy": strange.pk}, {"user": factories.charlie().pk}):
        response = client.post(ADD, form | {"new_urls": URL})
        assert "Select a valid choice" in response.content.decode()
    client.post(url(theirs), {"new_urls": "none"})
    act(client, "alarmreceivers", "test_alarms", theirs)

    assert AlarmReceivers.objects.get().urls == URL


def test_the_button_tells_which_receiver_took_the_message(
    client: Client, bob: User, own: Policy, hook: Webhook
) -> None:
    receivers.save(receivers.of(policy=own), {"urls": f"{hook.json_url}/{TOKEN}"})
    with ground.webhook(status=500) as broken:
        receivers.save(receivers.of(user=bob), {"urls": f"{broken.json_url}/{TOKEN}"})

        (row,) = act(client, "alarmreceivers", "test_alarms", receivers.of(policy=own))
        of_policy = act(client, "policy", "test_alarms", own)

    assert row == "bob/own: 1. json://12…0.1: sent"
    assert sorted("500" in sentence for sentence in of_policy) == [False, True]
    assert TOKEN not in "".join(of_policy)
    assert hook.titles == ["bob/own: test message"] * 2


def test_the_outbox_tells_what_became_of_each_message(
    client: Client, bob: User, own: Policy
) -> None:
    with ground.webhook(status=500) as broken:
        receivers.save(receivers.of(policy=own), {"urls": f"{broken.json_url}/{TOKEN}"})
        run = factories.RunFactory.create(policy=own, state=State.COMPLETING)
        runs.apply(run, Event.COMPLETED, "ended", end=State.FAILED)
        delivering.send_all()
    strange = factories.PolicyFactory.create(owner=factories.charlie())
    runs.apply(
        factories.RunFactory.create(policy=strange, state=State.COMPLETING),
        *(Event.COMPLETED, "ended"),
        end=State.FAILED,
    )

    listed = client.get("/admin/policies/alarm/").content.decode()
    page = client.get(url(AlarmDelivery.objects.get().alarm)).content.decode()

    assert "bob/own: backup failed" in listed
    assert strange.name not in listed
    assert "json://12…0.1" in page
    assert "error=500" in page
    assert TOKEN not in listed + page
