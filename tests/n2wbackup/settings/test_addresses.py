"""URLs and host names of the settings: what is taken, and the sentence for what is not; no secret in any."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from n2wbackup.settings import addresses

SECRET = "hunter22"
TLS = "ssl_cert_reqs=required&ssl_check_hostname=true"


@pytest.mark.parametrize(
    ("given", "url", "queue_url"),
    [
        ("redis://h", "redis://h/0", "redis://h/0"),
        ("valkey://:p%40ss@h:6380/1", "redis://:p%40ss@h:6380/1", "redis://:p%40ss@h:6380/1"),
        ("redis://u:a:b@h/2", "redis://u:a%3Ab@h/2", "redis://u:a%3Ab@h/2"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("rediss://h", f"rediss://h/0?{TLS}", f"rediss://h/0?{TLS}"),
        ("valkeys://h", f"rediss://h/0?{TLS}", f"rediss://h/0?{TLS}"),
        (
            "unix:///run/a%20b%25c",
            "unix:///run/a%20b%25c?db=0",
            "redis+socket:///run/a%20b%25c?virtual_host=0",
        ),
        (
            "redis+socket:///run/x?virtual_host=2",
            "unix:///run/x?db=2",
            "redis+socket:///run/x?virtual_host=2",
        ),
    ],
)
def test_a_broker_is_read_alike_by_both_libraries(given: str, url: str, queue_url: str) -> None:
    found = addresses.broker(given)

    assert (found.url, found.queue_url) == (url, queue_url)


def test_tls_is_verified_unless_the_url_asks_for_none() -> None:
    assert addresses.broker("rediss://h").is_verified
    assert addresses.broker("rediss://h?ssl_ca_certs=/etc/ca.pem").is_verified
    asked = addresses.broker("rediss://h?ssl_cert_reqs=none")
    assert not asked.is_verified
    assert "ssl_cert_reqs=none&ssl_check_hostname=false" in asked.queue_url
    anybodys = addresses.broker("rediss://h?ssl_check_hostname=FALSE")
    assert not anybodys.is_verified
    assert "ssl_check_hostname=false&ssl_cert_reqs=required" in anybodys.queue_url
    with pytest.raises(ImproperlyConfigured, match="write true, or false"):
        addresses.broker("rediss://h?ssl_check_hostname=maybe")


@pytest.mark.parametrize("sign", ["@", "/", "?", "#"])
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(sign: str) -> None:
    for name, scheme, end in (("REDIS_URL", "redis", "h:6379/0"), ("X", "postgres", "h:5432/n2w")):
        with pytest.raises(ImproperlyConfigured) as caught:
            addresses.parts(name, f"{scheme}://u:{SECRET}{sign}more@{end}", "write it right")
        assert str(caught.value) == (
            f"{name} has a character in its password that is not encoded: write the password's @ as %40, "
            ": as %3A, / as %2F, ? as %3F, # as %23 and % as %25."
        )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"redis://:{SECRET}%of@h", "has a % that encodes nothing: write the password's"),
        (f"redis://:{SECRET}@h:99999", "has a host or a port (1 to 65535) that cannot be read"),
        (f"redis://:{SECRET}@h:port", "has a host or a port (1 to 65535) that cannot be read"),
        (f"redis://:{SECRET}@[::1", "has a host or a port (1 to 65535) that cannot be read"),
        (f"redis://:{SECRET}@h/x", "the number of a database: write …/0"),
        (f"redis://:{SECRET}@h/0?timeout=5", "allowed are db, virtual_host"),
        (f"sentinel://:{SECRET}@h", "names Sentinel or a cluster, which are not supported"),
        (f"redis+sentinel://:{SECRET}@h", "names Sentinel or a cluster"),
        (f"amqp://:{SECRET}@h", "has the scheme 'amqp': write redis://:password@host"),
        (f"unix://{SECRET}", "needs the whole path of the socket: write unix:///path"),
        (f"redis://:{SECRET}@%2Frun%2Fx", "has a path in place of a host: write unix:///"),
        (f"rediss://:{SECRET}@h?ssl_cert_reqs=maybe", "has an unknown ssl_cert_reqs: write requ"),
        (SECRET, "is not a URL without spaces: write redis://:password@host:6379/0"),
        (f"redis://:{SECRET} @h", "is not a URL without spaces"),
    ],
)
def test_a_broker_that_cannot_be_meant_is_one_sentence_without_its_password(
    url: str, said: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        addresses.broker(url)

    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("REDIS_URL ")


@pytest.mark.parametrize(
    ("word", "write"),
    [
        ("https://backup.example.org", "only the host name, backup.example.org, without scheme"),
        ("http://b.example.org:8000/x", "only the host name, b.example.org, without scheme"),
        ("b.example.org:443", "only the host name, b.example.org"),
        ("b.example.org/admin", "only the host name, b.example.org"),
        ("*.example.org", "only the host name, .example.org"),
        ("['b.example.org']", "only the host name, b.example.org"),
        ("fd00::1", "an IPv6 address in brackets, such as [fd00::1]"),
        ("a;b", "host names with commas between them"),
    ],
)
def test_a_host_name_with_more_in_it_is_refused_with_what_to_write(word: str, write: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        addresses.host_names(["localhost", word])

    assert str(caught.value).startswith(f"ALLOWED_HOSTS has {word!r}: write {write}")


def test_host_names_as_django_takes_them_stay() -> None:
    good = ["localhost", "127.0.0.1", "[::1]", ".example.org", "*", "my_host", "b.example.org."]

    assert addresses.host_names(good) == good
