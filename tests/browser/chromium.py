"""Debian's Chromium, driven by Playwright; and what a page did that no page may do."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.ground import processes

PROGRAM = shutil.which("chromium")
WIDTHS = (360, 768, 1280, 1920)
BARRIERS_AT = (360, 1280)  # on either side of where parts are hidden behind a button
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
PATIENCE = 120.0  # seconds; a machine with much other work takes its time
expect.set_options(timeout=PATIENCE * 1000)
# WCAG 2.2 AA, and what axe calls best practice.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Axe tells of all that it looked at, which takes longer to carry than to find.
_FIND = """async ([rules, isColour]) => {
    const colours = axe.getRules(["cat.color"]).filter(rule => rule.tags.some(tag => rules.includes(tag)));
    const only = isColour ? {type: "rule", values: colours.map(rule => rule.ruleId)} : {type: "tag", values: rules};
    const found = await axe.run(document, {runOnly: only, resultTypes: ["violations"]});
    return found.violations.flatMap(rule => rule.nodes.slice(0, 3).map(
        node => `${rule.id}: ${rule.help}: ${node.html.slice(0, 160)}`));
}"""
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

    def barriers(self, *, in_colours: bool = False) -> list[str]:
        """Return what keeps people from using the page, as axe finds it; the pointer is on nothing.

        `in_colours`: only by the rules that look at colours.
        """
        self.page.mouse.move(0, 0)
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        found: list[str] = self.page.evaluate(_FIND, [_RULES, in_colours])
        return found

    def wrong(self, widths: Iterable[int] = BARRIERS_AT) -> list[str]:
        """Return the page's barriers in each theme, and at which widths it scrolls sideways.

        Between the themes only colours differ, so only these are looked for in the second.
        """
        found = []
        for theme in THEMES:
            self.page.emulate_media(color_scheme=theme)
            for width in widths if theme == THEMES[0] else BARRIERS_AT:
                self.widen(width)
                if theme == THEMES[0] and self.sideways():
                    found.append(f"{width}: {self.sideways()} px too wide")
                if width in BARRIERS_AT:
                    barriers = self.barriers(in_colours=theme != THEMES[0])
                    found += [f"{theme} at {width}: {each}" for each in barriers]
        self.page.emulate_media(color_scheme=THEMES[0])
        return found


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
    context.set_default_timeout(PATIENCE * 1000)
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

    processes.wait_until(looked, seconds=PATIENCE, what=f"a change of {page.url}", pause=0.2)


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
