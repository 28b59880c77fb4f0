"""What a request says about its client is believed only from a trusted proxy."""

from ipaddress import ip_network
from typing import Any

import pytest

from n2wbackup import proxies

PROXY, CLIENT, INNER = "127.0.0.1", "203.0.113.5", "10.1.2.3"
TRUSTED = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def seen(trusted: list[Any], peer: str = PROXY, **headers: str) -> dict[str, Any]:
    """Return what the application gets."""
    got: dict[str, Any] = {}

    def application(environ: dict[str, Any], _: Any) -> list[bytes]:
        got.update(environ)
        return []

    said = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "backup", **said}
    proxies.believed(application, trusted)(environ, lambda *_: None)
    return got


CLAIMS = {
    "x_forwarded_for": "1.2.3.4",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "evil.example",
    "x_forwarded_port": "1",
    "x_forwarded": "for=1.2.3.4",
    "forwarded": "for=1.2.3.4;proto=https;host=evil.example",
    "x_real_ip": "1.2.3.4",
    "x_client_ip": "1.2.3.4",
    "true_client_ip": "1.2.3.4",
}


@pytest.mark.parametrize(("trusted", "peer"), [([], PROXY), (TRUSTED, CLIENT)])
def test_nobody_else_is_believed(trusted: list[Any], peer: str) -> None:
    assert seen(trusted, peer, **CLAIMS) == {
        "REMOTE_ADDR": peer,
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "backup",
    }


def test_a_trusted_proxy_says_address_and_scheme_and_never_the_host() -> None:
    got = seen(TRUSTED, x_forwarded_for=CLIENT, x_forwarded_proto="https", x_real_ip="1.1.1.1")

    assert got == {"REMOTE_ADDR": CLIENT, "wsgi.url_scheme": "https", "HTTP_HOST": "backup"}


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (f"1.2.3.4, {CLIENT}", CLIENT),  # the first one is what the client claims itself
        (f"1.2.3.4, {CLIENT}, {INNER}", CLIENT),
        (f"{CLIENT},nonsense", PROXY),
        (f"nonsense, {INNER}", INNER),
        ("", PROXY),
        (INNER, INNER),
        ("2001:db8::1, fd00::9", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_the_client_is_the_last_one_that_is_no_proxy(chain: str, client: str) -> None:
    assert seen(TRUSTED, x_forwarded_for=chain)["REMOTE_ADDR"] == client


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        ("https, http", "http"),
        ("x", "http"),
    ],
)
def test_only_the_last_word_about_the_scheme_counts(said: str, scheme: str) -> None:
    assert seen(TRUSTED, x_forwarded_proto=said)["wsgi.url_scheme"] == scheme
