"""Pages that people meet and we have not drawn for them: errors, and what Django's admin shows."""

from functools import partial
from typing import Any

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Route

from tests.browser import chromium
from tests.policies.views import matrix

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real, pytest.mark.lasts(20)]
ERRORS = ("400", "403", "403_csrf", "404", "413", "429", "431", "500", "501")
# What Django's own templates may fail, by axe's rule; a new one is looked at. Some hang on where the pointer is
# and on how far a page is drawn, so not each is found each time.
KNOWN_OF_DJANGO = {
    "aria-prohibited-attr": "the label of the box with the permissions of a user",
    "color-contrast": "links of the side bar on the row under the pointer",
    "target-size": "links of the filters, which stand close together",
}


def test_no_error_page_has_a_barrier(browser: Browser, live_server: Any) -> None:
    wrong = []
    with chromium.window(browser, base=live_server.url) as window:
        for name in ERRORS:
            html = render_to_string(f"{name}.html")

            window.page.route("**/error/", partial(_answer, html))
            window.go("/error/")
            window.page.unroute("**/error/")
            wrong += [f"{name} {each}" for each in window.wrong()]
        wrong += window.complaints
    assert wrong == []


def _answer(html: str, route: Route) -> None:
    route.fulfill(body=html, content_type="text/html")


def test_the_admin_fails_only_what_django_is_known_to_fail(
    browser: Browser, live_server: Any
) -> None:
    world = matrix.made()
    people = world.people
    addresses = (
        *("/admin/", "/admin/scripts_admin/user/", "/admin/policies/policy/"),
        f"/admin/scripts_admin/user/{people['alice'].pk}/change/",
    )
    cookies = {"sessionid": world.clients["boss"].cookies["sessionid"].value}
    found: dict[str, set[str]] = {}
    with chromium.window(browser, cookies=cookies, base=live_server.url) as window:
        for address in addresses:
            assert window.go(address) == 200, address
            assert window.complaints == []
            for theme in chromium.THEMES:
                window.page.emulate_media(color_scheme=theme)
                for each in window.barriers():
                    found.setdefault(each.partition(":")[0], set()).add(f"{address}: {each[:140]}")
            window.complaints.clear()  # axe tries styles that no page may have
    assert found.keys() <= KNOWN_OF_DJANGO.keys(), found
