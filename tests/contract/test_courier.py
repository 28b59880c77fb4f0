"""Messages really carried: by apprise, in a process of its own, to a web and a mail server on loopback."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pytest_django import Settings

from policies.adapters import post
from policies.adapters.post import Letter
from policies.domain.alarms import addresses
from tests.ground import processes
from tests.ground import receivers as ground
from tests.ground.receivers import Mailbox, Webhook

TOKEN = "t0psecret-token"
ANY = "0.0.0.0"  # noqa: S104 - nothing is bound
TEAMS = "triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWbDGYFr0z0eu"
KNOWN = """
import json
from apprise.manager_plugins import NotificationManager
print(json.dumps(list(NotificationManager().schemas())))
"""
NOT_REACHED = (
    "alarms are not allowed to reach its address (this machine, a link-local or a metadata address): see "
    "N2W_ALARM_NETWORKS."
)


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with ground.webhook() as served:
        yield served


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with ground.mailbox() as served:
        yield served


def test_a_webhook_gets_title_and_text(hook: Webhook) -> None:
    letter = Letter(7, f"{hook.json_url}/{TOKEN}?+X-Key=abcd", "a title", "line one\nline two")

    assert post.carry([letter]) == {7: ""}

    ((method, path, body),) = hook.requests
    assert (method, path) == ("POST", f"/{TOKEN}")
    assert (body["title"], body["message"]) == ("a title", "line one\nline two")
    assert hook.headers[0]["X-Key"] == "abcd"


def test_a_mail_server_gets_a_mail(box: Mailbox) -> None:
    assert post.carry([Letter(1, box.url, "a title", "some text")]) == {1: ""}

    (mail,) = box.mails
    assert "Subject: a title" in mail
    assert "some text" in mail


def test_what_others_wrote_acts_on_nobody_who_reads_the_message(
    hook: Webhook, box: Mailbox
) -> None:
    title, text = "policy\n\x1b]0;x\x07", "AWS says \x1b[2J\u202eabc\nnext line"

    post.carry([Letter(1, hook.json_url, title, text), Letter(2, box.url, title, text)])

    ((_, _, body),) = hook.requests
    assert body["title"] == r"policy\x0a\x1b]0;x\x07"
    assert body["message"] == "AWS says " + r"\x1b[2J\u202eabc" + "\nnext line"
    (mail,) = box.mails
    assert "\x1b" not in mail
    assert r"Subject: policy\x0a\x1b]0;x\x07" in mail


def test_a_ping_is_a_get_and_no_more(hook: Webhook) -> None:
    assert post.carry([Letter(1, f"{hook.url}/{TOKEN}/start?a=b")]) == {1: ""}

    assert hook.requests == [("GET", f"/{TOKEN}/start?a=b", {})]


def test_a_mailbox_that_is_not_there_is_told_without_its_address() -> None:
    with ground.mailbox(refuses=True) as box:
        problem = post.carry([Letter(1, box.url, "a title", "some text")])[1]

    assert problem
    assert "ops" not in problem
    assert box.mails == []


@pytest.mark.parametrize("title", ["a title", ""])
@pytest.mark.parametrize("status", [302, 403, 500])
def test_a_receiver_that_refuses_is_told_and_redirects_are_not_followed(
    status: int, title: str
) -> None:
    with ground.webhook(status=status) as hook:
        base = hook.json_url if title else hook.url
        problem = post.carry([Letter(1, f"{base}/{TOKEN}", title, "some text")])[1]

    assert str(status) in problem
    assert TOKEN not in problem
    assert len(hook.requests) == 1


def test_nobody_waits_for_a_receiver_that_hangs(hook: Webhook) -> None:
    began = time.monotonic()
    with ground.webhook(hangs=threading.Event()) as slow:
        letters = [
            Letter(1, f"{slow.json_url}/{TOKEN}", "a title", "text"),
            Letter(2, f"{hook.json_url}/{TOKEN}", "a title", "text"),
        ]
        problems = post.carry(letters, 4)

    assert problems == {1: post.TOO_LATE, 2: ""}
    assert time.monotonic() - began < 40
    assert [pid for pid in processes.descendants(os.getpid()) if _is_courier(pid)] == []
    assert hook.titles == ["a title"]


def _is_courier(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"courier" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", ANY, "127.1"])
@pytest.mark.parametrize("title", ["a title", ""])
def test_the_servers_own_machine_is_not_reached(
    hook: Webhook, settings: Settings, host: str, title: str
) -> None:
    settings.N2W_ALARM_NETWORKS = []
    url = f"{'json' if title else 'http'}://{host}:{hook.port}/{TOKEN}"

    problem = post.carry([Letter(1, url, title, "text")])[1]

    # Some of these the library does not even take for a host.
    assert problem == NOT_REACHED or (title and problem.startswith("something is missing or wrong"))
    assert hook.requests == []


def test_a_mail_server_on_the_own_machine_is_not_reached(box: Mailbox, settings: Settings) -> None:
    settings.N2W_ALARM_NETWORKS = []

    assert post.carry([Letter(1, box.url, "a title", "text")]) == {1: NOT_REACHED}


@pytest.mark.parametrize("address", ["169.254.169.254", "[fd00:ec2::254]"])
def test_the_metadata_service_is_not_reached(address: str) -> None:
    url = f"http://{address}/latest/meta-data/"

    assert post.carry([Letter(1, url)]) == {1: NOT_REACHED}


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("syslog://", "alarms cannot be sent by syslog://: write one of "),
        ("dbus://", "alarms cannot be sent by dbus://: write one of "),
        ("windows://", "alarms cannot be sent by windows://: write one of "),
        ("vapid://a@b.org/c@d.org?keyfile=/etc/passwd", "alarms cannot be sent by vapid://"),
        ("https://hooks.example.org/x", "alarms cannot be sent by https://: write one of "),
        (
            "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?template=/etc/passwd",
            "slack:// does not allow template here: remove it.",
        ),
        ("json://example.org/x?+Host=a", "json:// does not allow the header "),
        ("json://example.org/x?+%48ost%20=a", "json:// does not allow the header "),
        ("xmls://example.org/x?%2BMetadata-Flavor=Google", "xmls:// does not allow the header "),
        (
            "form://example.org/x?+X-aws-ec2-metadata-token-ttl-seconds=60",
            "form:// does not allow the header ",
        ),
        (
            "json://example.org/x?method=PUT",
            "json:// sends by POST and by nothing else: remove method.",
        ),
        ("xml://example.org/x?METHOD=get", "xml:// sends by POST and by nothing else"),
        (
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?template=/etc/passwd",
            "slack:// does not allow template here: remove it.",
        ),
        ("json://example.org/x?%74emplate=a", "json:// does not allow template here: remove it."),
        ("jsons://example.org/?rto=9999", "jsons:// does not allow rto here: remove it."),
        (
            "mailtos://u:p@example.org?pgp=yes&pgppub=/etc/passwd",
            "mailtos:// does not allow pgp here: remove it.",
        ),
        (
            "ntfy://example.org/topic?attach=/etc/passwd",
            "ntfy:// does not allow attach here: remove it.",
        ),
        (f"json://example.org/x?{TOKEN}9=1", "json:// does not allow one of the arguments here"),
        (
            "slack://abc",
            "something is missing or wrong in this slack:// URL: compare it with apprise's page of slack.",
        ),
    ],
)
def test_what_could_reach_files_or_programs_is_refused_when_checked_and_when_sent(
    url: str, sentence: str
) -> None:
    (checked,) = post.check([url])
    sent = post.carry([Letter(1, url, "a title", "text")])[1]

    assert checked.startswith(sentence)
    assert sent == checked
    assert TOKEN not in checked


def test_what_is_fine_is_fine() -> None:
    urls = [
        "mailtos://user:password@example.org?to=ops@example.org&name=n2w",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops",
        "sns://AHIAJGNT76XIMXDBIJYA/bu1dHSdO22pfaaVy/us-east-1/12223334444",
        "jsons://user:password@example.org:8443/path?method=POST&+X-Token=abc&-a=b&:c=d",
        "discord://123456789012345678/abcdefghijklmnopqrstuvwxyz",
    ]

    assert post.check(urls) == [""] * len(urls)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "https://discord.com/api/webhooks/123456789012345678/abcdefghijklmnopqrstuvwxyz",
        "https://discordapp.com/api/webhooks/123456789012345678/abcdefghijklmnopqrstuvwxyz",
        f"https://prod-12.westeurope.logic.azure.com:443/workflows/{'6' * 32}/{TEAMS}",
        f"https://default6.8d.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/6/{TEAMS}",
        "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=abcdefg&token=hijk",
        f"https://webexapis.com/v1/webhooks/incoming/{'Y2lz' * 20}",
        "https://ntfy.sh/mytopic",
        "https://media.guilded.gg/webhooks/417429632418316298/AAAA",
        "https://open.larksuite.com/open-apis/bot/v2/hook/abcdef-1234",
        "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abcdef",
        "https://alert.victorops.com/integrations/generic/20131114/alert/abcd/route",
        "https://maker.ifttt.com/use/abcdefg/event",
        f"https://api.flock.com/hooks/sendMessage/{'a' * 24}",
    ],
)
def test_a_services_own_https_address_is_taken(url: str) -> None:
    assert addresses.mistakes([url]) == []
    assert post.check([url]) == [""]
    assert addresses.masked(url).startswith("https://")


def test_every_kind_of_url_is_known_to_the_library() -> None:
    known = subprocess.run([sys.executable, "-c", KNOWN], capture_output=True, check=True).stdout

    assert set(addresses.SCHEMAS) <= set(json.loads(known))


def test_no_variable_and_no_netrc_of_the_server_goes_along(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login root password {TOKEN}\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SECRET_KEY", TOKEN)

    post.carry([Letter(1, f"{hook.url}/x")])

    assert "Authorization" not in hook.headers[0]
    assert TOKEN not in post._environment().values()
