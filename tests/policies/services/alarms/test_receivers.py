"""Receivers of alarms: entered, kept secret, tried out."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from policies.domain.errors import InputError
from policies.models import AlarmReceivers, Policy
from policies.services.alarms import receivers
from policies.services.document import applying, exporting
from policies.services.document.applying import MistakesError
from scripts_admin.models import User
from tests import factories
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook

pytestmark = pytest.mark.usefixtures("loopback")

TOKEN = "t0psecret-token"
URL = f"json://hooks.example.org/{TOKEN}"
PING = f"https://hc.example.org/{TOKEN}"
DOCUMENT = """\
users: [{name: alice, alarm_urls_env: OWN}]
accounts: [{owner: alice, name: lab, access_key_id: AKIAX, secret_access_key_env: LAB}]
policies:
  - owner: alice
    name: shop
    account: lab
    alarm_urls_env: SHOP
    ping_url_env: PING
    targets: [{volume: vol-0123456789abcdef0, region: us-east-1}]
"""
ENVIRONMENT = {"LAB": "wJalrXUtnFEMI", "OWN": URL, "SHOP": f"{URL}1\n{URL}2", "PING": PING}


@pytest.fixture
def policy(db: None) -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="policy1")


def test_apply_takes_them_from_the_environment_and_twice_is_once(db: None) -> None:
    first = applying.apply(DOCUMENT, ENVIRONMENT)

    shop, own = Policy.objects.get(name="shop"), User.objects.get(username="alice")
    assert receivers.of(policy=shop).urls == f"{URL}1\n{URL}2"
    assert receivers.of(policy=shop).ping_url == PING
    assert receivers.of(policy=shop).has_ping
    assert receivers.of(user=own).urls == URL
    assert {change.action for change in first} == {"created"}
    assert first[0].fields["alarm_urls_env"] == "(set)"
    assert TOKEN not in str(first)
    assert {change.action for change in applying.apply(DOCUMENT, ENVIRONMENT)} == {"unchanged"}


def test_a_change_of_them_alone_is_a_change(db: None) -> None:
    applying.apply(DOCUMENT, ENVIRONMENT)

    changes = applying.apply(DOCUMENT, ENVIRONMENT | {"PING": f"{PING}2", "OWN": f"{URL}9"})

    assert [(change.action, dict(change.fields)) for change in changes] == [
        ("changed", {"alarm_urls_env": "(set)"}),
        ("unchanged", {}),
        ("changed", {"ping_url_env": "(set)"}),
    ]


def test_what_is_not_named_stays_and_none_takes_it_away(db: None) -> None:
    applying.apply(DOCUMENT, ENVIRONMENT)

    applying.apply("policies: [{owner: alice, name: shop, enabled: false}]", {})
    shop = Policy.objects.get(name="shop")
    assert receivers.of(policy=shop).ping_url == PING

    applying.apply(DOCUMENT, ENVIRONMENT | {"PING": "none", "SHOP": "none"})
    found = receivers.of(policy=shop)
    assert (found.urls, found.ping_url, found.has_ping) == ("", "", False)


def test_an_export_has_none_of_them_and_applied_again_keeps_them(db: None) -> None:
    applying.apply(DOCUMENT, ENVIRONMENT)
    text = exporting.export()

    changes = applying.apply(text, {})

    assert TOKEN not in text
    assert {change.action for change in changes} == {"unchanged"}
    assert receivers.of(policy=Policy.objects.get()).ping_url == PING


def test_each_mistake_is_told_at_its_place_without_the_url_and_nothing_is_changed(db: None) -> None:
    environment = ENVIRONMENT | {
        "OWN": f"json://h/{TOKEN} syslog://{TOKEN}",
        "SHOP": f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}?template=/etc/passwd",
        "PING": f"ftp://h/{TOKEN}",
    }

    with pytest.raises(MistakesError) as caught:
        applying.apply(DOCUMENT, environment)

    told = {place.field: sentence for place, sentence in caught.value.mistakes}
    assert told["users[0].alarm_urls_env"].startswith("URL 2: alarms cannot be sent by syslog://")
    assert told["policies[0].alarm_urls_env"] == (
        "URL 1: slack:// does not allow template here: remove it."
    )
    assert told["policies[0].ping_url_env"].startswith("A ping URL begins with https://")
    assert TOKEN not in str(told)
    assert not AlarmReceivers.objects.exists()
    assert not User.objects.exists()


def test_they_lie_encrypted_in_the_database(policy: Policy) -> None:
    receivers.save(receivers.of(policy=policy), {"urls": URL, "ping_url": PING})

    with connection.cursor() as cursor:
        cursor.execute("SELECT urls, ping_url FROM policies_alarmreceivers")
        assert TOKEN not in str(cursor.fetchall())


def test_only_a_masked_form_is_shown(policy: Policy, settings: Settings) -> None:
    receivers.save(
        receivers.of(policy=policy), {"urls": f"{URL} slack://{TOKEN}/b/c", "ping_url": PING}
    )

    assert receivers.shown(receivers.of(policy=policy)) == [
        "json://ho…org",
        "slack://…",
        "ping https://hc…org",
    ]
    settings.N2W_ENCRYPTION_KEYS = ["A" * 43 + "="]
    assert receivers.shown(receivers.of(policy=policy)) == [
        "cannot be decrypted: enter the URLs again"
    ]


def test_what_cannot_be_decrypted_can_be_entered_anew(policy: Policy, settings: Settings) -> None:
    receivers.save(receivers.of(policy=policy), {"urls": URL, "ping_url": PING})
    settings.N2W_ENCRYPTION_KEYS = ["A" * 43 + "="]

    assert receivers.save(receivers.of(policy=policy), {"urls": URL})

    found = receivers.of(policy=policy)
    assert (found.urls, found.ping_url, found.has_ping) == (URL, "", False)


def test_check_names_the_column(db: None) -> None:
    with pytest.raises(ValidationError) as caught:
        receivers.check({"urls": "x", "ping_url": "x"})

    assert set(caught.value.message_dict) == {"urls", "ping_url"}
    receivers.check({"urls": "", "ping_url": ""})
    receivers.check({})


def test_the_command_tells_of_each_receiver_whether_it_worked(
    policy: Policy, hook: Webhook
) -> None:
    out = StringIO()
    with ground.webhook(status=500) as broken:
        receivers.save(receivers.of(policy=policy), {"urls": f"{hook.json_url}/{TOKEN}"})
        receivers.save(receivers.of(user=policy.owner), {"urls": f"{broken.json_url}/{TOKEN}"})

        with pytest.raises(CommandError, match=r"^1 of 2 alarm URLs did not accept the message\.$"):
            call_command("test_alarm", "alice/policy1", stdout=out)

    assert hook.titles == ["alice/policy1: test message"]
    assert len(broken.requests) == 1
    assert "json://12…0.1: sent" in out.getvalue()
    assert "500" in out.getvalue()
    assert TOKEN not in out.getvalue()


def test_the_command_tries_a_user_and_leaves_the_ping_alone(policy: Policy, hook: Webhook) -> None:
    out = StringIO()
    receivers.save(receivers.of(user=policy.owner), {"urls": hook.json_url})
    receivers.save(receivers.of(policy=policy), {"ping_url": f"{hook.url}/ping"})

    call_command("test_alarm", "alice", "--json", stdout=out)
    call_command("test_alarm", "alice/policy1", stdout=StringIO())

    assert json.loads(out.getvalue()) == {
        "receivers": [{"receiver": "json://12…0.1", "problem": ""}]
    }
    assert hook.titles == ["alice: test message", "alice/policy1: test message"]


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("nobody", "There is no user nobody: look for the name on the admin pages or with export."),
        ("alice/other", "There is no policy alice/other: list_policies shows all names."),
        (
            "alice",
            "alice has no alarm URLs: enter them in the admin pages, or with alarm_urls_env ",
        ),
    ],
)
def test_the_command_refuses_with_a_sentence(policy: Policy, label: str, sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("test_alarm", label, stdout=StringIO())

    assert str(caught.value).startswith(sentence)


def test_receivers_go_with_their_policy(policy: Policy, own_home: Path) -> None:
    receivers.save(receivers.of(policy=policy), {"urls": URL})

    policy.delete()

    assert not AlarmReceivers.objects.exists()
    with pytest.raises(InputError):
        receivers.of_label("alice/policy1")
