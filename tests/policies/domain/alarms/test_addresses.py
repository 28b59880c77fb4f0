"""The allowed URLs of alarms, and how they are masked."""

import pytest

from policies.domain.alarms import addresses


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
            ["URL 1: it is not a URL: write one such as mailtos://…, jsons://… or slack://…."],
        ),
        (
            ["json://a", "json://" + "a" * 2000],
            ["URL 2: it is longer than 2000 characters: shorten it."],
        ),
        (
            [f"json://{n}" for n in range(11)],
            ["There are 11 URLs, but at most 10 are allowed: remove some."],
        ),
        (["json://a", "slack://b"], []),
    ],
)
def test_each_mistake_is_one_sentence(urls: list[str], sentences: list[str]) -> None:
    assert addresses.mistakes(urls) == sentences


@pytest.mark.parametrize(
    "url",
    [
        *("", "https://hc.example.org/ping/abc", "http://10.0.0.1:8000/?a=b"),
        *("https://user:s%C3%A4cret@hc.example.org/x", "https://user@hc.example.org/"),
    ],
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
        *("https://user:secret@example.org/#a", "https://a:99999/", "https://[1"),
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
    "header",
    [
        *("Host", "host", "HOST", "Host ", "Content-Length", "Transfer-Encoding", "Connection"),
        *("X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds", "Metadata-Flavor"),
        *("Metadata", "X-Google-Metadata-Request", "X-Forwarded-Host", "Proxy-Authorization"),
        *("X-HTTP-Method-Override", "a\r\nHost", "Ho_st", ""),
    ],
)
@pytest.mark.parametrize("schema", ["json", "jsons", "xml", "xmls", "form", "forms"])
def test_a_webhook_has_no_header_that_decides_where_it_ends(schema: str, header: str) -> None:
    sentence = addresses.refused(schema, ["+X-Key", f"+{header}"])

    assert sentence.startswith(f"{schema}:// does not allow the header ")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "header", ["X-Key", "Authorization", "Content-Type", "x-api-key", "Cookie"]
)
def test_a_webhook_has_every_other_header(header: str) -> None:
    assert addresses.refused("jsons", [f"+{header}"]) == ""


def test_a_webhook_is_sent_by_post() -> None:
    said = addresses.refused("jsons", ["method"])

    assert said == "jsons:// sends by POST and by nothing else: remove method."


@pytest.mark.parametrize("schema", addresses.SCHEMAS)
def test_no_kind_of_url_takes_what_reads_files_or_waits(schema: str) -> None:
    reading = {"template", "pgp", "pgppub", "pgpprv", "attach", "keyfile", "e2ee"}
    waiting = {"rto", "cto", "retry", "wait", "redirect"}

    assert all(addresses.refused(schema, [key]) for key in reading | waiting)
    assert addresses.refused(schema, ["format", "verify"]) == ""
