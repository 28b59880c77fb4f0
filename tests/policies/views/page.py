"""Fetch a page and read it as a browser would."""

from html.parser import HTMLParser

from django.test import Client

from scripts_admin.models import User


class Page(HTMLParser):
    """A parsed page: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f" {data.strip()}"

    @property
    def links(self) -> list[str | None]:
        return [attrs.get("href") for tag, attrs in self.tags if tag == "a"]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def read(client: Client, path: str) -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    return Page(answer.content.decode())


def check_can_be_read_aloud(page: Page) -> None:
    """Assert that a screen reader can use the page, and that it has no inline style or script."""
    tags = [tag for tag, _ in page.tags]
    assert dict(page.tags)["html"]["lang"] == "en"
    assert tags.count("h1") == tags.count("main") == 1
    assert tags.count("caption") == tags.count("table") > 0
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")
    regions = [attrs for _, attrs in page.tags if attrs.get("role") == "region"]
    assert len(regions) == tags.count("table")
    assert all(attrs["aria-label"] and attrs["tabindex"] == "0" for attrs in regions)
    identifiers = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    for tag, attrs in page.tags:
        assert tag != "style"
        assert tag != "script" or "src" in attrs
        assert not [name for name in attrs if name == "style" or name.startswith("on")]
