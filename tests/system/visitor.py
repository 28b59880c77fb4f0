"""Somebody who uses the pages of a running server without a browser: logs in, reads, fills forms in."""

from typing import Any

import requests

from tests.policies.views.page import Sent

_SECONDS = 60.0


class Visitor:
    """One session; a page that does not come is an AssertionError."""

    def __init__(self, port: int) -> None:
        self._base = f"http://localhost:{port}"
        self._session = requests.Session()

    def log_in(self, name: str, password: str) -> None:
        self.fill("/login/", username=name, password=password)

    def read(self, path: str) -> str:
        """Return the page; also of an address with the server's name in front."""
        return self._page(self._session.get(self._address(path), timeout=_SECONDS))

    def fill(self, path: str, /, *, files: dict[str, bytes] | None = None, **fields: str) -> str:
        """Send the page's form with these fields changed; return the page that it leads to."""
        form: dict[str, Any] = Sent(self.read(path)).values | fields
        sent = [("files", (name, content)) for name, content in (files or {}).items()]
        answer = self._session.post(
            self._address(path), data=form, files=sent or None, timeout=_SECONDS
        )
        self.at = answer.url.removeprefix(self._base)  # where it led to
        return self._page(answer)

    def press(self, page: str, action: str) -> str:
        """Press a button of the page whose form leads to `action`."""
        form = {"csrfmiddlewaretoken": Sent(self.read(page)).values["csrfmiddlewaretoken"]}
        answer = self._session.post(self._address(action), data=form, timeout=_SECONDS)
        self.at = answer.url.removeprefix(self._base)
        return self._page(answer)

    def _address(self, path: str) -> str:
        return f"{self._base}{path}"

    @staticmethod
    def _page(answer: requests.Response) -> str:
        assert answer.status_code == 200, (answer.status_code, answer.url, answer.text[:2000])
        return answer.text
