"""A person's way in, in Chromium: the first link, an app, a passkey, an invitation; each page without a barrier."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser
from pytest_django import Settings

from scripts_admin.models import User
from scripts_admin.services import entering
from tests.browser import chromium
from tests.policies.views import logins

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real, pytest.mark.lasts(30)]
GOOD = "correct horse battery"
SENDS = "main button[type=submit]"
# A key that answers at once, as a laptop with a finger on it.
_KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Visitor:
    """A window at the server's name, because browsers give no passkey to a number. `barriers`: of all pages seen."""

    def __init__(self, window: chromium.Window, base: str) -> None:
        self.window, self.page, self.base = window, window.page, base
        self.barriers: list[str] = []

    def go(self, path: str) -> None:
        self.window.go(f"{self.base}{path}")
        self.look()

    def look(self) -> None:
        self.page.wait_for_load_state()
        self.barriers += [f"{self.page.url} {each}" for each in self.window.wrong()]

    def send(self, button: str = SENDS, **fields: str) -> None:
        for name, text in fields.items():
            self.page.fill(f"#id_{name}", text)
        self.page.click(button)
        self.page.wait_for_load_state()
        self.look()

    def log_out(self) -> None:
        self.page.click("header .person summary")
        self.page.click("header .person button:has-text('Log out')")
        self.page.wait_for_load_state()
        self.look()

    def is_at(self, path: str) -> bool:
        return self.page.url.removeprefix(self.base).partition("?")[0] == path


@pytest.fixture
def visitor(
    browser: Browser, live_server: Any, settings: Settings, tmp_path: object
) -> Iterator[Visitor]:
    settings.N2W_SCRIPTS_ROOT = tmp_path
    settings.ALLOWED_HOSTS = ["localhost"]
    base = live_server.url.replace("127.0.0.1", "localhost")
    with chromium.window(browser, base=base) as window:
        session = window.page.context.new_cdp_session(window.page)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": _KEY})
        yield Visitor(window, base)


def test_from_the_first_link_to_a_login_by_passkey(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go(f"/first/{entering.first_link()}/")
    visitor.send(username="boss", new_password1="12345", new_password2="12345")
    assert "This password is too short" in page.inner_text("main")
    visitor.send(new_password1=GOOD, new_password2=GOOD)
    assert User.objects.get().is_superuser

    visitor.go("/profile/factors/app/")
    secret = page.inner_text("main code")
    visitor.send(code="000000")
    visitor.send(code=logins.code(secret))
    assert visitor.is_at("/profile/factors/codes/")
    visitor.go("/profile/factors/passkeys/add/")
    page.check("#id_passwordless")
    page.click("#passkey_button")
    page.wait_for_url(f"{visitor.base}/profile/")
    for path in ("/profile/", "/profile/factors/app/remove/", "/profile/factors/codes/new/"):
        visitor.go(path)

    visitor.log_out()
    page.click("#passkey_button")
    page.wait_for_url(f"{visitor.base}/**/")
    page.wait_for_selector("header .person")
    visitor.log_out()
    visitor.send(username="boss", password=GOOD)
    assert visitor.is_at("/login/code/")
    page.click("#passkey_button")
    page.wait_for_selector("header .person")

    visitor.go("/profile/confirm/passkey/?next=/people/invite/")
    page.click("#passkey_button")
    page.wait_for_url(f"{visitor.base}/people/invite/")
    visitor.send(username="zoe")
    link = page.inner_text("main pre").strip()
    for path in ("/people/", "/people/zoe/", "/people/boss/"):
        visitor.go(path)
    page.context.clear_cookies()
    visitor.go(link.removeprefix(visitor.base))
    visitor.send(new_password1=GOOD, new_password2=GOOD)
    assert "Welcome, zoe." in page.inner_text("#messages")
    visitor.go(link.removeprefix(visitor.base))
    assert "no longer good" in page.inner_text("h1")

    assert visitor.barriers == []
    assert visitor.window.complaints == []
