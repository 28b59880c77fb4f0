"""What a page may cost: its weight, what moves while it loads, and what it keeps while it stays open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.models import Policy, Run
from policies.selectors import health
from tests.browser import addresses, chromium, furnished
from tests.policies.views.page import client_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real, pytest.mark.lasts(30)]
WHOLE_BYTES, HTML_BYTES = 300_000, 30_000
MOST_SHIFT = 0.1
POLLS, ROUNDS = 20, 5
# Nodes and listeners that a page may gain by one more row, such as a message.
SLACK = 15


@pytest.fixture
def boss(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    monkeypatch.setattr(health, "_ping", lambda: True)
    return client_of(furnished.furnish(tmp_path))


@pytest.fixture
def window(browser: Browser, live_server: Any, boss: Client) -> Iterator[chromium.Window]:
    boss.get("/")
    cookies = {"sessionid": boss.cookies["sessionid"].value}
    with chromium.window(browser, cookies=cookies, base=live_server.url) as opened:
        opened.page.add_init_script(chromium.WATCH_SHIFTS)
        yield opened


def pages() -> list[str]:
    newest = Run.objects.order_by("-created_at")[0]
    return [*addresses.PAGES, f"/runs/{newest.pk}/", f"/runs/{newest.pk}/compare/"]


def test_pages_are_light_and_stand_still_and_complain_of_nothing(
    window: chromium.Window, boss: Client
) -> None:
    wrong = []
    for address in pages():
        window.widen(chromium.WIDTHS[0])
        window.go(address)
        window.page.wait_for_load_state("networkidle")
        html = _html_bytes(boss, address)
        weight = html + sum(map(_file_bytes, _files(window.page)))
        if html > HTML_BYTES or weight > WHOLE_BYTES:
            wrong.append(f"{address}: {html} bytes of HTML, {weight} in whole")
        shift = float(window.page.evaluate("window.shifted"))
        if shift >= MOST_SHIFT:
            wrong.append(f"{address}: what is shown moves by {shift:.3f} while the page loads")
        for width in chromium.WIDTHS:
            window.widen(width)
            if window.sideways():
                wrong.append(f"{address} at {width}: {window.sideways()} px too wide")
        wrong += [f"{address}: {each}" for each in window.complaints]
        window.complaints.clear()
    assert wrong == []


def _html_bytes(client: Client, address: str) -> int:
    """Return how much of the page itself is sent to a browser."""
    return len(client.get(address, headers={"Accept-Encoding": "gzip"}).content)


def _files(page: Page) -> list[str]:
    script = "[...document.querySelectorAll('link[rel=stylesheet], script[src]')].map(e => e.href || e.src)"
    return [urlsplit(each).path for each in page.evaluate(script)]


def _file_bytes(path: str) -> int:
    """Return how much of a static file is sent: its packed twin, if it has one."""
    found = finders.find(path.removeprefix("/static/"))
    assert isinstance(found, str), path
    twin = Path(f"{found}.gz")
    return (twin if twin.exists() else Path(found)).stat().st_size


def test_a_page_that_stays_open_does_not_grow(window: chromium.Window) -> None:
    """An hour has 1,800 polls of a run; what does not grow with 20 does not grow."""
    run = Run.objects.order_by("-created_at")[0]
    Run.objects.filter(pk=run.pk).update(state="completing", ended_at=None)
    Policy.objects.filter(name=run.policy_name).update(may_be_frozen_since=clock.now())
    for address in ("/", f"/runs/{run.pk}/"):
        window.go(address)
        _poll(window.page, POLLS)
        gains = list(_gains(window.page))
        assert gains[-1] == {}, (address, gains)
    assert window.complaints == []


def _gains(page: Page) -> Iterator[dict[str, float]]:
    """Yield what the page gained by each round of polls, until a round gains nothing.

    What leaks gains in every round. The browser gains once in a while by itself: what it compiles
    late and what it keeps for a moment.
    """
    before = _kept(page)
    for _ in range(ROUNDS):
        _poll(page, POLLS)
        after = _kept(page)
        most = {
            "Nodes": before["Nodes"] + SLACK,
            "JSEventListeners": before["JSEventListeners"] + SLACK,
            "JSHeapUsedSize": before["JSHeapUsedSize"] * 1.1,
        }
        gained = {each: after[each] - before[each] for each in most if after[each] > most[each]}
        yield gained
        if not gained:
            return
        before = after


def _poll(page: Page, times: int) -> None:
    """Have each part that polls ask as often, one after another, as its clock would."""
    script = """async times => {
        for (let time = 0; time < times; time++)
            for (const id of [...document.querySelectorAll("[hx-get]")].map(each => each.id)) {
                const part = document.getElementById(id);
                const swap = part.getAttribute("hx-swap");
                await htmx.ajax("GET", part.getAttribute("hx-get"), {source: part, target: part, swap});
            }
    }"""
    page.evaluate(script, times)


def _kept(page: Page) -> dict[str, float]:
    """Return what the page keeps once everything that it does not need is thrown away."""
    session = page.context.new_cdp_session(page)
    for _ in range(2):  # what the first finds, the second frees
        session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return {each["name"]: each["value"] for each in metrics}
