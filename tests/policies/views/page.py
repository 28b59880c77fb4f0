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

    @property
    def polled(self) -> list[str]:
        """Return what this page polls besides the banner, which every page has."""
        asked = [attrs.get("hx-get") or "" for _, attrs in self.tags]
        return [address for address in asked if address not in {"", "/frozen/"}]


class Sent(HTMLParser):
    """What a browser would send of a page's form if nobody changed it: a list for each name that is there twice."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: dict[str, object] = {}
        self._select = self._textarea = ""
        self._text = ""
        self._is_first = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name, kind = found.get("name") or "", found.get("type") or "text"
        if tag == "input" and name and kind in {"checkbox", "radio"}:
            if "checked" in found:
                self._add(name, found.get("value") or "on")
        elif tag == "input" and name and kind not in {"submit", "button"}:
            self._add(name, found.get("value") or "")
        elif tag == "select":
            self._select, self._is_first = name, "multiple" not in found
        elif tag == "option" and self._select and ("selected" in found or self._is_first):
            self.values[self._select] = found.get("value") or ""
            self._is_first = False
        elif tag == "textarea":
            self._textarea, self._text = name, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._add(self._textarea, self._text.removeprefix("\n"))
            self._textarea = ""
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self._text += data

    def _add(self, name: str, value: str) -> None:
        held = self.values.get(name)
        if held is None:
            self.values[name] = value
        else:
            self.values[name] = [*(held if isinstance(held, list) else [held]), value]


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
