"""Debian's Chromium, driven by Playwright; and what a page did that no page may do."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.ground import processes

PROGRAM = shutil.which("chromium")
WIDTHS = (360, 768, 1280, 1920)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_HEIGHT = 900
# Adds up by how much what is shown moves while nobody does anything.
WATCH_SHIFTS = """
window.shifted = 0;
new PerformanceObserver(list => {
    for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifted += each.value;
}).observe({type: "layout-shift", buffered: true});
"""
BANNER_MS = 10_000  # between two polls for the banner
# WCAG 2.2 AA, and what axe calls best practice.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_AXE = Axe()
# A page that answers 404 to a stranger is no mistake of the page, nor is a poll under way when a person goes on.
_NO_MISTAKES = (
    *("Failed to load resource", "htmx:afterRequest", "htmx:sendError", "htmx:sendAbort"),
)


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox needs a name space that containers and CI do not give.
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Window:
    """One window of a browser. `complaints`: what its console and its security policy said."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def go(self, address: str) -> int:
        """Open the address; return its status."""
        answer = self.page.goto(address)
        self.page.wait_for_load_state()
        return answer.status if answer else 0

    def widen(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": _HEIGHT})

    def sideways(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))

    def barriers(self) -> list[str]:
        """Return what keeps people from using the page, as axe finds it; the pointer is on nothing."""
        self.page.mouse.move(0, 0)
        found: dict[str, Any] = _AXE.run(
            self.page, options={"runOnly": {"type": "tag", "values": _RULES}}
        ).response
        return [
            f"{rule['id']}: {rule['help']}: {node['html'][:160]}"
            for rule in found["violations"]
            for node in rule["nodes"][:3]
        ]


@contextlib.contextmanager
def window(
    browser: Browser,
    *,
    theme: Literal["light", "dark"] = "light",
    width: int = 1280,
    cookies: dict[str, str] | None = None,
    base: str = "",
    scripts: bool = True,
) -> Iterator[Window]:
    """Yield a window with a profile of its own; `base` and `cookies`: of the server that it visits."""
    context = browser.new_context(
        color_scheme=theme,
        viewport={"width": width, "height": _HEIGHT},
        base_url=base or None,
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    for name, value in (cookies or {}).items():
        context.add_cookies([{"name": name, "value": value, "url": base}])
    made = Window(context.new_page())
    made.page.on("pageerror", lambda error: made.complaints.append(f"error: {error}"))
    made.page.on("console", lambda message: _note(made, message.type, message.text))
    try:
        yield made
    finally:
        context.close()


def later(page: Page, is_so: Callable[[], bool]) -> None:
    """Let the page's own clock run on until it is so; the page has a clock that was installed."""

    def looked() -> bool:
        page.clock.run_for(BANNER_MS)
        return is_so()

    processes.wait_until(looked, seconds=60, what=f"a change of {page.url}", pause=0.2)


@contextlib.contextmanager
def slow(page: Page) -> Iterator[None]:
    """Give the page a network as in a train: each answer is late, and comes slowly."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 400, "downloadThroughput": 50_000}
    session.send("Network.emulateNetworkConditions", {**limits, "uploadThroughput": 20_000})
    try:
        yield
    finally:
        session.detach()


def _note(made: Window, kind: str, text: str) -> None:
    if kind in {"error", "warning"} and not any(each in text for each in _NO_MISTAKES):
        made.complaints.append(f"{kind}: {text}")
