"""Every page as a browser shows it: no barrier, no sideways scrolling, no complaint of the console."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from pytest_django import Settings

from tests.browser import chromium, states
from tests.policies.views import matrix, script_files

pytestmark = [
    *(pytest.mark.django_db(transaction=True), pytest.mark.real),
    *(pytest.mark.lasts(60), pytest.mark.timeout(1800)),  # it is one test, and grows with each page
]
EDIT = "/policies/alice/policy1/edit/"
# Files, answers for machines, and addresses that only take a form.
_NO_PAGES = ("health/", "admin/jsi18n/", "admin/autocomplete/", "admin/(?P", "admin/r/")


def pages(world: matrix.World) -> list[str]:
    """Return the address of every page of the product, as it is for a superuser."""
    own = [route for route in matrix.routes() if not route.startswith(("admin/", *_NO_PAGES))]
    found = []
    for route in own:
        address = matrix.path(world, route)
        answer = world.clients["boss"].get(address)
        is_html = answer.headers.get("Content-Type", "").startswith("text/html")
        if answer.status_code == 200 and is_html:
            found.append(address)
        world.clients["boss"].force_login(world.people["boss"])
    return found


def test_no_page_has_a_barrier_scrolls_sideways_or_complains(
    browser: Browser, live_server: Any, settings: Settings, tmp_path: Path
) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path
    settings.N2W_FOLDER_FILES = 2  # of more than that, the folder says so
    world = matrix.made()
    states.add(world)
    script_files.lay()
    states.lay()
    addresses = pages(world)
    cookies = {"sessionid": world.clients["boss"].cookies["sessionid"].value}

    wrong: list[str] = []
    with chromium.window(browser, cookies=cookies, base=live_server.url) as window:
        for address in addresses:
            window.go(f"{live_server.url}{address}")
            wrong += _wrong(window, address)
        _let_go(window, f"{live_server.url}{EDIT}")
        wrong += _wrong(window, EDIT)

    assert wrong == []
    assert len(addresses) > 5


def _wrong(window: chromium.Window, address: str) -> list[str]:
    found = [*window.wrong(chromium.WIDTHS), *window.complaints]
    window.complaints.clear()
    return [f"{address} {each}" for each in found]


def _let_go(window: chromium.Window, address: str) -> None:
    """Change the rules so that the page asks whether more restore points may go."""
    window.go(address)
    window.page.fill("[name=keep_daily]", "0")
    window.page.click("button[value=save]")
    window.page.wait_for_selector("#lets-go")
