"""`python -m tests.browser.paints`: when each page of a real demo is first painted, what moves, and what it weighs.

It tells what it saw and judges nothing: a time depends on the machine. The budgets are in test_budgets.py.
"""

import sys
import time

from playwright.sync_api import Page

from tests.browser import addresses, chromium, crawl
from tests.browser.screenshots import demo, log_in, session_of, wait_for_the_states

_ROUNDS = 3
_SECONDS = 30.0
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_SENT = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .reduce((sum, each) => sum + each.transferSize, 0)"""


def _painted(page: Page) -> float:
    """Return when the page was painted, in ms; waited for here, as the pages' policy forbids to evaluate a text."""
    until = time.monotonic() + _SECONDS
    while not (found := float(page.evaluate(_PAINTED))):
        assert time.monotonic() < until, f"{page.url} is never painted"
        time.sleep(0.05)
    return found


def main() -> int:
    with demo() as stage, chromium.started() as browser:
        with chromium.window(browser) as window:
            log_in(window.page, stage, "admin")
            wait_for_the_states(window.page, stage)
            pages = crawl.found(window.page, stage.url, addresses.PAGES)
            cookies = session_of(window.page)
        sys.stdout.write("first paint (ms)  moved    sent (kB)  page\n")
        for address in pages:
            with chromium.window(browser, base=stage.url, cookies=cookies) as window:
                window.page.add_init_script(chromium.WATCH_SHIFTS)
                painted = []
                for _ in range(_ROUNDS):
                    window.go(address)
                    painted.append(_painted(window.page))
                moved, sent = window.page.evaluate("window.shifted"), window.page.evaluate(_SENT)
            line = f"{sorted(painted)[_ROUNDS // 2]:10.0f}        {moved:.3f}    {sent / 1000:8.1f}  {address}\n"
            sys.stdout.write(line)
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
