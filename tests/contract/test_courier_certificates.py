"""Receivers with a certificate of a CA of one's own: really served over TLS."""

import os
import ssl
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest
from pytest_django import Settings

from policies.adapters import courier, post
from policies.adapters.post import Letter
from tests.ground import certificates
from tests.ground import receivers as ground

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def loopback(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ca(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    return certificates.private_ca(tmp_path)


def carried(tls: ssl.SSLContext) -> tuple[dict[int, str], list[tuple[str, str]], int]:
    """Send a webhook, a ping and a mail; return the problems, the requests and the number of mails."""
    with ground.webhook(tls=tls) as hook, ground.mailbox(tls=tls) as box:
        letters = [
            Letter(1, f"{hook.json_url}/hook", "a title", "text"),
            Letter(2, f"{hook.url}/ping"),
            Letter(3, box.url, "a title", "text"),
        ]
        problems = dict(post.carry(letters))
    return problems, sorted((method, path) for method, path, _ in hook.requests), len(box.mails)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_of_ones_own_is_trusted_for_webhooks_pings_and_mail(
    ca: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(ca[0]))

    problems, requests, mails = carried(ca[1])

    assert problems == {1: "", 2: "", 3: ""}
    assert requests == [("GET", "/ping"), ("POST", "/hook")]
    assert mails == 1


def test_a_folder_of_cas_is_trusted(
    ca: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "cas"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(ca[0].read_bytes())
    subprocess.run(["openssl", "rehash", folder], check=True)
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))

    problems, _, mails = carried(ca[1])

    assert problems == {1: "", 2: "", 3: ""}
    assert mails == 1


def test_a_ca_that_is_not_trusted_is_told_with_what_to_do(
    ca: tuple[Path, ssl.SSLContext],
) -> None:
    problems, requests, mails = carried(ca[1])

    assert problems == dict.fromkeys([1, 2, 3], courier.UNTRUSTED)
    assert (requests, mails) == ([], 0)


def test_a_ca_file_that_is_not_there_is_told(
    ca: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/ca.pem")

    problems, requests, _ = carried(ca[1])

    assert {problems[1], problems[2]} == {courier.NO_CAS}
    assert requests == []


def test_a_relative_path_means_the_servers_folder(
    ca: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ca[0].parent)
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")

    assert carried(ca[1])[0] == {1: "", 2: "", 3: ""}
    assert os.path.isabs(post._environment()["SSL_CERT_FILE"])  # noqa: PTH117 - it is a text
