"""What a browser would send of a form."""

from html.parser import HTMLParser
from typing import Any


class Form(HTMLParser):
    """What a browser would send of a page's form if nobody changed it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._select = self._textarea = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name, value = found.get("name") or "", found.get("value") or ""
        if tag == "input" and name and ("checked" in found or found.get("type") not in _TICKED):
            self.values[name] = value
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in found and self._select:
            self.values.setdefault(self._select, []).append(value)
        elif tag == "textarea":
            self._textarea = name

    def handle_endtag(self, tag: str) -> None:
        if tag in {"select", "textarea"}:
            self._select = self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.values[self._textarea] = data.removeprefix("\n")


_TICKED = {"checkbox", "radio", "submit"}
