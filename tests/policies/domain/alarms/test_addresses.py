"""Where alarms may go, and what is shown of it."""

from ipaddress import ip_network

import pytest

from policies.domain.alarms import addresses

ANY = "0.0.0.0"  # noqa: S104 - nothing is bound


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mailtos://user:secret@mail.example.org:465?to=a@b.org", "mailtos://ma…org"),
        ("json://10.0.0.7:8080/path?+X=y", "json://10…0.7"),
        ("jsons://h/x", "jsons://h…"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack://…"),
        ("sns://KEY/SECRET/us-east-1/1", "sns://…"),
        ("https://hc.example.org/ping/5f1c", "https://hc…org"),
        ("json://user:sec/ret@host.example.org", "json://…"),
        ("json://tok en", "json://…"),
    ],
)
def test_of_a_url_the_schema_and_a_masked_host_are_shown(url: str, shown: str) -> None:
    assert addresses.masked(url) == shown


def test_a_list_is_split_at_lines_and_blanks_and_each_is_kept_once() -> None:
    assert addresses.split(" json://a\njson://b json://a\n") == ["json://a", "json://b"]


@pytest.mark.parametrize(
    ("urls", "sentences"),
    [
        (
            ["nonsense"],
            ["URL 1: it is no URL: write one such as mailtos://…, jsons://… or slack://…."],
        ),
        (
            ["json://a", "json://" + "a" * 2000],
            ["URL 2: it is longer than 2000 characters: shorten it."],
        ),
        (
            [f"json://{n}" for n in range(11)],
            ["There are 11 URLs, and 10 are the most: take some out."],
        ),
        (["json://a", "slack://b"], []),
    ],
)
def test_each_mistake_is_one_sentence(urls: list[str], sentences: list[str]) -> None:
    assert addresses.mistakes(urls) == sentences


@pytest.mark.parametrize(
    "url", ["", "https://hc.example.org/ping/abc", "http://10.0.0.1:8000/?a=b"]
)
def test_a_ping_url_is_a_plain_web_address(url: str) -> None:
    assert addresses.ping_mistake(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://example.org/x",
            "file:///etc/passwd",
            "https://",
            "https:// example.org",
            "json://x",
        ),
        *(
            "https://user:secret@example.org/",
            "https://example.org/#a",
            "https://a:99999/",
            "https://[1",
        ),
    ],
)
def test_anything_else_is_no_ping_url_and_is_not_shown(url: str) -> None:
    sentence = addresses.ping_mistake(url)

    assert sentence.endswith(".")
    assert "secret" not in sentence


def test_a_pings_path_stands_behind_the_urls_own_and_before_its_query() -> None:
    assert addresses.ping("https://a.org/x/?k=v", "/start") == "https://a.org/x/start?k=v"
    assert addresses.ping("https://a.org/x/", "") == "https://a.org/x/"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            ANY,
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "fe80::1%eth0",
        ),
        *(
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "224.0.0.1",
            "255.255.255.255",
        ),
        *("2002:7f00:1::", "64:ff9b::a9fe:a9fe", "100.100.100.200", "localhost", ""),
    ],
)
def test_addresses_of_this_machine_and_of_metadata_are_not_reached(address: str) -> None:
    assert not addresses.may_reach(address)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd12::1"]
)
def test_others_are_reached(address: str) -> None:
    assert addresses.may_reach(address)


def test_a_network_that_is_named_is_reached_and_no_other() -> None:
    allowed = [ip_network("127.0.0.0/8")]

    assert addresses.may_reach("127.0.0.1", allowed)
    assert addresses.may_reach("::ffff:127.0.0.1", allowed)
    assert not addresses.may_reach("::1", allowed)
    assert not addresses.may_reach("169.254.169.254", allowed)


@pytest.mark.parametrize("schema", addresses.SCHEMAS)
def test_no_kind_of_url_takes_what_reads_files_or_waits(schema: str) -> None:
    reading = {"template", "pgp", "pgppub", "pgpprv", "attach", "keyfile", "e2ee"}
    waiting = {"rto", "cto", "retry", "wait", "redirect"}

    assert all(addresses.refused(schema, [key]) for key in reading | waiting)
    assert addresses.refused(schema, ["format", "verify"]) == ""
